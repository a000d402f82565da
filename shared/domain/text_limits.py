"""The limits of an outside text, and the refusal of one that exceeds them or that cannot be read."""

MAX_BYTES = 16 * 1024 * 1024
"""A manifest with its packed folders; larger ones are refused before they are parsed."""
MAX_DEPTH = 50
MAX_VALUES = 200_000
"""Values of the expanded document: a YAML alias counts as its full content, so that aliases cannot multiply."""
TOO_MANY = f"contains more than {MAX_VALUES} values"
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
TOO_LARGE = f"contains more than {MAX_BYTES} characters, each alias counted as its full content"
ENVELOPE_VALUES = 10
"""The most values that an envelope contains beside its manifest; the envelope itself counts as one."""


class RefusedError(ValueError):
    """The text is refused by a rule of this project, not by a parser."""
