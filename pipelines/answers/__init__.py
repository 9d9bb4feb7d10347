"""Look at a logged answer again: replay it offline, explain it."""
