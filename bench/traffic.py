"""Page views as sites send them: twenty sites of which one has half of all, a few pages that
nearly everybody reads and many that hardly anybody does."""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Any
from uuid import UUID

from ingest.pageview import PageView

SITES = ["big.example.com", *(f"site-{n:02d}.example.com" for n in range(1, 20))]
_SITE_SHARES = list(accumulate([19.0, *[1.0] * 19]))
_PAGES = 2_000
_PATHS = [f"/articles/{n % 40:02d}/a-page-with-number-{n}" for n in range(_PAGES)]
# Zipf: the n-th most read page is read 1/n times as often as the first.
_PATH_SHARES = list(accumulate(1 / n for n in range(1, _PAGES + 1)))
_VISITORS = 100_000
_REFERRERS = ["https://news.example.org/", "https://search.example.net/?q=pages", None, None]


def page_views(events: int, first_ms: int, last_ms: int, retryable: bool) -> Iterator[PageView]:
    """`events` messages that arrived evenly between two moments, the same at each call."""
    dice = random.Random(7)
    for n in range(events):
        received = first_ms + n * (last_ms - first_ms) // events
        path = _path(dice)
        yield PageView(
            id=_event_id(dice),
            site=_site(dice),
            visitor=f"{dice.randrange(_VISITORS) * 0x9E3779B97F4A7C15 % 2**64:016x}",
            path=path,
            ts=received - dice.randrange(50, 2_000),
            received=received,
            retryable=retryable,
            hostname="www.example.com",
            title=f"The title of {path[-12:]}",
            referrer=dice.choice(_REFERRERS),
            screen="1920x1080",
            language="en-GB",
        )


def track_bodies(events: int, at_s: int) -> Iterator[dict[str, Any]]:
    """What senders write into `POST /api/v1/track`."""
    dice = random.Random(7)
    for _ in range(events):
        path = _path(dice)
        yield {
            "site": _site(dice),
            "event_id": _event_id(dice),
            "user_id": f"user{dice.randrange(_VISITORS)}",
            "page_url": f"https://www.example.com{path}?utm_source=newsletter",
            "timestamp": at_s,
            "referrer": "https://news.example.org/",
            "title": f"The title of {path[-12:]}",
        }


def _site(dice: random.Random) -> str:
    return dice.choices(SITES, cum_weights=_SITE_SHARES)[0]


def _path(dice: random.Random) -> str:
    return dice.choices(_PATHS, cum_weights=_PATH_SHARES)[0]


def _event_id(dice: random.Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))
