"""A shop in small: one static page that shows recommendations, and the web server that a shop has anyway.

`python -m bentos.clients.shop` serves both on this machine. The page sends events to the recommender itself, with a
page's key; what it shows comes through the shop's own server, whose key no browser sees.
"""
