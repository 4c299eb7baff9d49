"""What others say, as a line of a log or of a terminal may hold it."""


def printable(text: str) -> str:
    """Put a text on one line: what alerts say must neither make lines of its own nor drive a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)
