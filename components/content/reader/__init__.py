"""The language model as a reader: it sums items up, names groups, widens a search and orders a short list."""
