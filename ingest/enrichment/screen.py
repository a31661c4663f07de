"""Classes of screens. Pure."""

import re
from functools import lru_cache

_size = re.compile(r"(\d{1,5})\s?x\s?(\d{1,5})", re.IGNORECASE | re.ASCII)
# From which width on, in CSS pixels: the breakpoints that style sheets have in common.
_CLASSES = ((1_440, "desktop"), (992, "laptop"), (576, "tablet"), (1, "mobile"))


@lru_cache(maxsize=2_048)
def screen_class(screen: str) -> str | None:
    """Of “1920x1080”: desktop, laptop, tablet or mobile; None for what is no size."""
    match = _size.fullmatch(screen)
    width = int(match[1]) if match else 0
    return next((name for least, name in _CLASSES if width >= least), None)
