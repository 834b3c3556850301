"""Two data files larger than memory, read in pieces."""


def is_large(*paths: str) -> bool:
    return False
