"""What asks the service from a shop's own code: the TypeScript client, the browser's snippet, a page that uses both.

The Python client is bentos/client.py. Requests, answers and methods of all of them follow from the endpoints
(bentos/endpoints/derived_files.py).
"""
