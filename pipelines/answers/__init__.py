"""A logged answer, looked at again: replay it offline, explain it."""
