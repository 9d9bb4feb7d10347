"""What people change live, such as items: one append-only, versioned log of documents in the online store.

A recommender has one log, beside its rows in the store that the environment names, whichever release serves: a release
that is rolled back leaves it alone. Each version is one change: who made it, when, and some documents by kind and id,
all of them or none. Readers keep the newest document of each id and ask for what came after the version they have.
`changes.py` has the words, `log.py` what readers and writers call; each other module is one kind of store.
"""
