"""The steps in their order: from a request and its sender to fields of the message. Pure.

What a step can't tell is None. A `user_id` means that the site vouches for a visitor: where the
sender is no browser or a server then, it speaks for somebody else. It is no bot, and its browser
and place are not the visitor's.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ingest.enrichment.agent import MAX_AGENT, UNKNOWN, Agent, read_agent
from ingest.enrichment.attribution import attribute, kept_referrer, referrer_host
from ingest.enrichment.bots import BotReason, bot_reason
from ingest.enrichment.click_id import Click
from ingest.enrichment.client_hints import ClientHints
from ingest.enrichment.crawler import is_crawler
from ingest.enrichment.headless import is_headless
from ingest.enrichment.internal import is_internal
from ingest.enrichment.language import read_language
from ingest.enrichment.origin import Origin, find_origin
from ingest.enrichment.path import normalise
from ingest.enrichment.place import NOWHERE, Place, PlaceFinder
from ingest.enrichment.referrer_spam import is_spammer
from ingest.enrichment.screen import screen_class
from ingest.enrichment.time_zone import read_time_zone
from ingest.page_url import read_page_url
from ingest.sender import Sender
from ingest.track_request import TrackRequest

# No address is longer; what is, came through a header and is none.
_MAX_ADDRESS = 45
_REMEMBERED_LENGTH = 250


class Campaign(NamedTuple):
    """The five of them, in the order of `PageView`."""

    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None


class Enriched(NamedTuple):
    """Fields of `PageView`, under its names, but for groups of them."""

    path: str
    hostname: str | None
    referrer: str | None
    source: str | None
    channel: str | None
    campaign: Campaign
    place: Place
    agent: Agent
    screen: str | None
    screen_class: str | None
    language: str | None
    time_zone: str | None
    bot: BotReason | None


class _Page(NamedTuple):
    """What the page's address tells."""

    path: str
    hostname: str | None
    utm: Mapping[str, str]
    campaign: Campaign
    click: Click | None


class _Referrer(NamedTuple):
    """`kept` goes into the message; `host` is in lower case."""

    kept: str | None
    host: str
    is_spam: bool


class _Program(NamedTuple):
    """What user agent and client hints tell."""

    agent: Agent
    is_headless: bool
    is_crawler: bool


class _Where(NamedTuple):
    """What the address tells."""

    place: Place
    origin: Origin | None


class Enrichment:
    """`spammers` are domains that no referrer may be of."""

    def __init__(self, places: PlaceFinder, spammers: frozenset[str]) -> None:
        self._places = places
        self._spammers = spammers
        # The steps remember by themselves what they were asked; this makes five lookups an event
        # of eleven. Bounded: three times 8,192 of at most 3 kB, 65,536 of 0.4 kB.
        self.page_again = lru_cache(maxsize=8_192)(_page)
        self.referrer_again = lru_cache(maxsize=8_192)(self._referrer)
        self.program_again = lru_cache(maxsize=8_192)(_program)
        self.where_again = lru_cache(maxsize=65_536)(self._where)

    def warm_up(self) -> None:
        """Load what the first page view would wait for, about a second."""
        self.enrich(TrackRequest(page_url="/"), Sender("192.0.2.1", "-"), "", "")

    def enrich(
        self, request: TrackRequest, sender: Sender, path_rules: str, internal_addresses: str
    ) -> Enriched:
        """The last two are the site's, as the admin writes them."""
        page = self._read_page(request.page_url, path_rules)
        referrer = self._read_referrer(request.referrer or "")
        address = sender.address if len(sender.address) <= _MAX_ADDRESS else ""
        agent, headless, crawler = self.program_again(sender.agent[:MAX_AGENT], sender.hints)
        place, origin = self.where_again(address)
        source, channel = attribute(referrer.host, page.hostname, page.utm, page.click)
        if request.user_id is not None and sender.vouches:
            if crawler or origin or agent.browser is None:
                agent, place = UNKNOWN, NOWHERE
            crawler, origin = False, None
        bot = bot_reason(
            is_internal(address, internal_addresses, sender.internal),
            headless or bool(request.headless),
            crawler,
            origin,
            referrer.is_spam,
        )
        screen, language, time_zone = request.screen, request.language, request.time_zone
        return Enriched(
            page.path,
            page.hostname,
            referrer.kept,
            source,
            channel,
            page.campaign,
            place,
            agent,
            screen or None,
            screen_class(screen) if screen else None,
            read_language(language) if language else None,
            read_time_zone(time_zone) if time_zone else None,
            bot,
        )

    def _read_page(self, page_url: str, path_rules: str) -> _Page:
        short = len(page_url) <= _REMEMBERED_LENGTH
        return (self.page_again if short else _page)(page_url, path_rules)

    def _read_referrer(self, text: str) -> _Referrer:
        short = len(text) <= _REMEMBERED_LENGTH
        return self.referrer_again(text) if short else self._referrer(text)

    def _referrer(self, text: str) -> _Referrer:
        host = referrer_host(text)
        return _Referrer(kept_referrer(text) or None, host, is_spammer(host, self._spammers))

    def _where(self, address: str) -> _Where:
        return _Where(self._places.find(address), find_origin(address))


def _page(page_url: str, path_rules: str) -> _Page:
    page = read_page_url(page_url)
    path = normalise(path_rules, page.path, page.query)
    campaign = Campaign(*(page.utm.get(name) for name in Campaign._fields))
    return _Page(path, page.hostname, page.utm, campaign, page.click)


def _program(user_agent: str, hints: ClientHints) -> _Program:
    return _Program(
        read_agent(user_agent, hints), is_headless(user_agent, False), is_crawler(user_agent)
    )
