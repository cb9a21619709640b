"""Where it snows."""


def is_village(variant: int) -> bool:
    """Whether a variant is a village; the others are a lone cottage."""
    return variant >= 32768
