"""What may be written to a terminal."""


def printable(text: str) -> str:
    """The text, with U+FFFD for every character that would steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
