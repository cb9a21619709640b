"""What lies under an aurora."""


def ground(variant: int) -> str:
    """One of lake, snow (with firs), ice: the two upper bits of a variant."""
    return ("lake", "lake", "snow", "ice")[(variant >> 14) & 3]
