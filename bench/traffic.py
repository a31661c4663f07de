"""Page views as sites send them: twenty sites of which one has half of all, a few pages that
nearly everybody reads and many that hardly anybody does."""

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from ingest.enrichment.attribution import attribute, referrer_host
from ingest.enrichment.screen import screen_class
from ingest.pageview import PageView

SITES = ["big.example.com", *(f"site-{n:02d}.example.com" for n in range(1, 20))]
_SITE_SHARES = list(accumulate([19.0, *[1.0] * 19]))
_HOST = "www.example.com"
_PAGES = 2_000
_PATHS = [f"/articles/{n % 40:02d}/a-page-with-number-{n}" for n in range(_PAGES)]
# Zipf: the n-th most read page is read 1/n times as often as the first.
_PATH_SHARES = list(accumulate(1 / n for n in range(1, _PAGES + 1)))
_VISITORS = 100_000


class _Choice(NamedTuple):
    """Values and, added up, how often each is taken."""

    values: list[Any]
    shares: list[float]

    def take(self, dice: random.Random) -> Any:
        return dice.choices(self.values, cum_weights=self.shares)[0]


def _choice(shares: Mapping[Any, float]) -> _Choice:
    return _Choice(list(shares), list(accumulate(shares.values())))


def _zipf(values: Iterable[str], none: float) -> _Choice:
    """The n-th value 1/n times as often as the first; `none` of all have no value."""
    shares: dict[Any, float] = {value: 1 / n for n, value in enumerate(values, start=1)}
    return _choice({**shares, None: sum(shares.values()) * none / (1 - none)})


_REFERRERS = _zipf(
    (f"https://www.referrer-{n}.example.net/a/page" for n in range(1, 301)), none=0.45
)
_COUNTRIES = _zipf(
    ["US", "DE", "GB", "FR", "IN", "BR", "CA", "ES", "NL", "IT", "AU", "JP", "PL", "SE", "CH"],
    none=0.02,
)
# Of each country.
_REGIONS = _zipf(map(str, range(1, 13)), none=0.1)
_BROWSERS = _choice({"Chrome": 60, "Safari": 22, "Edge": 7, "Firefox": 6, "Opera": 3, None: 2})
# Nearly everybody has one of the last of them.
_VERSIONS = _zipf(map(str, range(140, 120, -1)), none=0.0)
_SYSTEM_VERSIONS = _zipf(map(str, range(18, 10, -1)), none=0.2)
# Which systems a device has, and how large its screens are.
_DEVICES = _choice({"mobile": 55, "desktop": 42, "tablet": 3})
_SYSTEMS = {
    "mobile": _choice({"Android": 65, "iOS": 35}),
    "desktop": _choice({"Windows": 65, "Mac": 25, "Linux": 10}),
    "tablet": _choice({"iPadOS": 70, "Android": 30}),
}
_SCREENS = {
    "mobile": _choice({"390x844": 40, "360x800": 35, "412x915": 25}),
    "desktop": _choice({"1920x1080": 50, "1536x864": 25, "2560x1440": 25}),
    "tablet": _choice({"820x1180": 60, "768x1024": 40}),
}
_LANGUAGES = _zipf(
    ["en-US", "en-GB", "de-DE", "fr-FR", "es-ES", "pt-BR", "nl-NL", "it-IT", "ja-JP"], none=0.01
)
_TIME_ZONES = _zipf(
    ["America/New_York", "Europe/Berlin", "Europe/London", "Europe/Paris", "Asia/Kolkata",
     "America/Sao_Paulo", "America/Los_Angeles", "Europe/Madrid", "Asia/Tokyo"], none=0.02
)  # fmt: skip
# Source, medium and campaign go together; three quarters of all visits come by none.
_CAMPAIGNS = _choice(
    {
        (None, None, None): 75,
        ("newsletter", "email", "november"): 10,
        ("google", "cpc", "brand"): 8,
        ("twitter", "social", "launch"): 7,
    }
)
_TERMS = _zipf((f"term {n}" for n in range(1, 31)), none=0.5)


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
            hostname=_HOST,
            title=f"The title of {path[-12:]}",
            **_dimensions(dice),
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
            "page_url": f"https://{_HOST}{path}?utm_source=newsletter",
            "timestamp": at_s,
            "referrer": "https://news.example.org/",
            "title": f"The title of {path[-12:]}",
        }


def _dimensions(dice: random.Random) -> dict[str, Any]:
    """Where a page view came from and what it was looked at with."""
    device = _DEVICES.take(dice)
    source, medium, campaign = _CAMPAIGNS.take(dice)
    referrer, country = _REFERRERS.take(dice), _COUNTRIES.take(dice)
    host = referrer_host(referrer or "")
    brought = attribute(host, _HOST, source or "", medium or "", campaign or "")
    region = _REGIONS.take(dice) if country else None
    browser, screen = _BROWSERS.take(dice), _SCREENS[device].take(dice)
    return {
        "referrer": referrer,
        "source": brought.source,
        "channel": brought.channel,
        "utm_source": source,
        "utm_medium": medium,
        "utm_campaign": campaign,
        "utm_term": _TERMS.take(dice) if medium == "cpc" else None,
        "utm_content": "button" if medium == "email" else None,
        "country": country,
        "region": region and f"{country}-{region}",
        "browser": browser,
        "browser_version": browser and _VERSIONS.take(dice),
        "os": _SYSTEMS[device].take(dice),
        "os_version": _SYSTEM_VERSIONS.take(dice),
        "device": device,
        "screen": screen,
        "screen_class": screen_class(screen),
        "language": _LANGUAGES.take(dice),
        "time_zone": _TIME_ZONES.take(dice),
    }


def _site(dice: random.Random) -> str:
    return dice.choices(SITES, cum_weights=_SITE_SHARES)[0]


def _path(dice: random.Random) -> str:
    return dice.choices(_PATHS, cum_weights=_PATH_SHARES)[0]


def _event_id(dice: random.Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))
