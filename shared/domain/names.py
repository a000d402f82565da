"""Names as Fabric compares them."""


def same_name(one: str, other: str) -> bool:
    """Return True if two display names differ in nothing but the case of their letters.

    Compared character by character, as .NET's ordinal comparison does: 'Sales' is 'SALES', and 'Straße' is not
    'STRASSE'. If Fabric compares differently, it refuses the create; an item of a different name is
    never taken for the step's own.
    """
    return len(one) == len(other) and all(map(_same_letter, one, other))


def _same_letter(one: str, other: str) -> bool:
    """Return True if both cases agree: the Kelvin sign does not equal k, and a long s does not equal S."""
    return one == other or (one.lower() == other.lower() and one.upper() == other.upper())


def normal_target(target: str) -> str:
    """Normalise case and space, because Fabric compares workspace names without regard to them."""
    return " ".join(target.casefold().split())
