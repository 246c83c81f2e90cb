"""A token's text as it is searched: what the label file stores of it is what a word is asked by."""


def fold(text: str) -> str:
    """A text without the white space around it, unless it is nothing else, and whatever its case.

    A word that is typed into a box has no white space around it, so none may count in what it is to find. Files of
    earlier versions, where one leading space alone was removed, hold what they held: no word finds their `\\treturn`.
    """
    return (text.strip() or text).casefold()
