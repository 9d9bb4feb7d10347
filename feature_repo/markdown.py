"""Words of data in Markdown: a name that comes from a catalogue is shown as it is, and never as markup."""

_MARKUP = str.maketrans({"<": "&lt;", ">": "&gt;", "|": r"\|", "[": r"\[", "`": r"\`", "\n": " ", "\r": " "})


def words(text: str) -> str:
    r"""Return a text with what Markdown or HTML would read as markup taken for letters.

    >>> words("FRUIT & VEG"), words("<img src=x>"), words("a|b")
    ('FRUIT & VEG', '&lt;img src=x&gt;', 'a\\|b')
    """
    return text.translate(_MARKUP)
