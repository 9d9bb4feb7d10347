"""What an assistant may ask and do here: `intentflow mcp`, a server of the Model Context Protocol over stdio.

`tools.py` says what there is, `people.py` what is said of a person, `rights.py` what a key lets an assistant change;
`server.py` alone knows the protocol's library.
"""
