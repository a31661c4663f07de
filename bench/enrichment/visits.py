"""Page views as browsers send them: many visitors, few browsers, the pages of `bench.traffic`."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from bench.traffic import track_bodies
from ingest.enrichment.client_hints import NO_HINTS, ClientHints
from ingest.page_url import PageUrl, read_page_url
from ingest.sender import Sender
from ingest.track_request import TrackRequest

_ADDRESSES = 20_000
_SYSTEMS = [
    "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
    "Linux; Android 10; K",
]  # fmt: skip
_AGENTS = [
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 "
    f"{'Mobile ' if 'Android' in system else ''}Safari/537.36"
    for system in _SYSTEMS
    for version in range(90, 132)
] + [
    f"Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 "
    f"(KHTML, like Gecko) Version/{major}.{minor} Mobile/15E148 Safari/604.1"
    for major in range(14, 19)
    for minor in range(6)
]
_REFERRERS = [
    "", "", "https://www.google.com/", "https://www.bing.com/", "https://chatgpt.com/",
    "https://www.example.com/", *(f"https://blog-{n}.example.org/post/{n}" for n in range(200)),
]  # fmt: skip
_SCREENS = ["1920x1080", "1440x900", "390x844", "820x1180"]
_LANGUAGES = ["en-GB", "de", "fr-FR", "pt-BR"]


class Visit(NamedTuple):
    """What the steps are given."""

    request: TrackRequest
    page: PageUrl
    sender: Sender


def visits(events: int) -> list[Visit]:
    """The same at each call."""
    return list(_visits(events))


def _visits(events: int) -> Iterator[Visit]:
    dice = random.Random(11)
    addresses = [str(IPv4Address(dice.randrange(1 << 24, 223 << 24))) for _ in range(_ADDRESSES)]
    for body in track_bodies(events, 1_800_000_000):
        request = TrackRequest(
            page_url=_page_url(dice, body["page_url"]),
            site=body["site"],
            title=body["title"],
            referrer=dice.choice(_REFERRERS),
            screen=dice.choice(_SCREENS),
            language=dice.choice(_LANGUAGES),
            time_zone="Europe/Berlin",
        )
        agent = dice.choice(_AGENTS)
        yield Visit(
            request,
            read_page_url(request.page_url),
            Sender(dice.choice(addresses), agent, _hints(agent)),
        )


def _page_url(dice: random.Random, with_campaign: str) -> str:
    return with_campaign if dice.random() < 0.1 else with_campaign.partition("?")[0]


def _hints(agent: str) -> ClientHints:
    _, _, version = agent.partition("Chrome/")
    if not version:
        return NO_HINTS
    major = version.partition(".")[0]
    brands = f'"Chromium";v="{major}", "Google Chrome";v="{major}", "Not?A_Brand";v="99"'
    mobile = "?1" if "Android" in agent else "?0"
    platform = "Android" if "Android" in agent else "Windows"
    return ClientHints(brands, mobile, f'"{platform}"')
