"""Language tags, one spelling each. Pure."""

from functools import lru_cache


@lru_cache(maxsize=2_048)
def read_language(tag: str) -> str | None:
    """`en_gb` and `EN-gb` are `en-GB` (RFC 5646 §2.1.1); None for what is no tag."""
    first, *rest = tag.replace("_", "-").split("-")
    if not (first.isascii() and first.isalpha() and 2 <= len(first) <= 8):
        return None
    if not all(part.isascii() and part.isalnum() and len(part) <= 8 for part in rest):
        return None
    return "-".join([first.lower(), *map(_subtag, rest)])


def _subtag(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 else part.lower()
