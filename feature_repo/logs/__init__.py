"""The request log on disk and in an object store: its schema, its readers."""
