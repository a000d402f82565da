"""Makes a text safe for one line of output: nothing ends the line, moves the cursor or reverses the direction."""


def escaped(text: str) -> str:
    """Return the text as one line of printable characters. Every other character (C0 and C1 controls, line and
    paragraph separators, bidirectional overrides, lone surrogates) becomes its backslash escape, so nothing is lost."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
