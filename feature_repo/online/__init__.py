"""The online store: read rows, fold events into them, erase people."""
