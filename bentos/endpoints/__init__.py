"""The endpoints of the service `recommender`: one file each, named as its row in feature_repo/endpoints.py.

A file holds the model of the request, the model of the answer, one example, and
`def answer(door, ask, context)`, brought together in its `CONTRACT`. It imports neither the door nor a model at run
time: the client imports the same files.
"""
