"""What a user did, written as text for a language model, and how that text is read where it serves: in numpy."""
