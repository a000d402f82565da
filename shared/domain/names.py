"""Names as Fabric compares them."""


def same_name(one: str, other: str) -> bool:
    """Return True if two display names differ in nothing but the case of their letters.

    Compared character by character, as .NET's ordinal comparison does: 'Sales' is 'SALES', and 'Straße' is not
    'STRASSE'. If Fabric sees it otherwise, it refuses the create; a thing of another name is never taken for ours.
    """
    return len(one) == len(other) and all(map(_same_letter, one, other))


def _same_letter(one: str, other: str) -> bool:
    """Both ways must agree: the Kelvin sign is no k, and a long s no S."""
    return one == other or (one.lower() == other.lower() and one.upper() == other.upper())
