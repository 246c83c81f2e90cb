"""The form of a token's text that searches compare: stored in label files, and applied to what a user types."""


def fold(text: str) -> str:
    """Remove case and surrounding white space from a text; keep the white space of a text that is nothing else.

    A word that is typed into a box has no white space around it, so none may count in what it is to find. Files of
    earlier versions, where one leading space alone was removed, hold what they held: no word finds their `\\treturn`.
    """
    return (text.strip() or text).casefold()
