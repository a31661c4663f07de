"""The steps in their order: from a request and its sender to fields of the message. Pure.

What a step can't tell is None. A `user_id` means that the site vouches for a visitor: where the
sender is no browser or a server then, it speaks for somebody else. It is no bot, and its browser
and place are not the visitor's.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec

from ingest.enrichment.agent import MAX_AGENT, UNKNOWN, Agent, read_agent
from ingest.enrichment.attribution import Tag, attribute, kept_referrer, read_tag, referrer_host
from ingest.enrichment.bots import BotReason, bot_reason
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


class Enriched(msgspec.Struct, frozen=True, gc=False):
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


class Told(msgspec.Struct, frozen=True, gc=False):
    """What a sender tells, the same for all events of a request. `address` is the sender's, or
    empty for what is none."""

    sender: Sender
    address: str
    agent: Agent
    place: Place
    is_headless: bool
    is_crawler: bool
    origin: Origin | None
    # No browser, or one at a server: events of a `user_id` are somebody else's.
    is_proxy: bool
    # Any of what makes a bot, but for what the event itself says.
    is_suspect: bool


class _Page(msgspec.Struct, frozen=True, gc=False):
    """What the page's address tells."""

    path: str
    hostname: str | None
    campaign: Campaign
    tag: Tag


class _Referrer(msgspec.Struct, frozen=True, gc=False):
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
        # The steps remember by themselves what they were asked; this makes four lookups an event
        # of eleven. Bounded: four times 8,192 of at most 3 kB, 65,536 of 0.4 kB.
        self.sender_again = lru_cache(maxsize=8_192)(self._told)
        self.page_again = lru_cache(maxsize=8_192)(_page)
        self.referrer_again = lru_cache(maxsize=8_192)(self._referrer)
        self.program_again = lru_cache(maxsize=8_192)(_program)
        self.where_again = lru_cache(maxsize=65_536)(self._where)

    def warm_up(self) -> None:
        """Load what the first page view would wait for, about a second."""
        self.enrich(TrackRequest(page_url="/"), self.of_sender(Sender("192.0.2.1", "-")), "-")

    def of_sender(self, sender: Sender) -> Told:
        """To be asked once for a request, however many events are in it."""
        short = len(sender.agent + sender.internal + sender.address) <= _REMEMBERED_LENGTH
        return (self.sender_again if short else self._told)(sender)

    def enrich(
        self,
        request: TrackRequest,
        told: Told,
        site: str,
        path_rules: str = "",
        internal_addresses: str = "",
    ) -> Enriched:
        """`site` is its public id, which is the host of pages that name none; the last two are
        the site's, as the admin writes them. Raises `Refusal` for a page that is none."""
        page_url, referred = request.page_url, request.referrer or ""
        page = (self.page_again if len(page_url) <= _REMEMBERED_LENGTH else _page)(
            page_url, path_rules
        )
        referrer = (self.referrer_again if len(referred) <= _REMEMBERED_LENGTH else self._referrer)(
            referred
        )
        source, channel = attribute(referrer.host, page.hostname or site, *page.tag)
        agent, place = told.agent, told.place
        vouched = request.user_id is not None and told.sender.vouches
        if vouched and told.is_proxy:
            agent, place = UNKNOWN, NOWHERE
        bot = None
        if told.is_suspect or internal_addresses or referrer.is_spam or request.headless:
            bot = bot_reason(
                is_internal(told.address, internal_addresses, told.sender.internal),
                told.is_headless or bool(request.headless),
                told.is_crawler and not vouched,
                None if vouched else told.origin,
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

    def _told(self, sender: Sender) -> Told:
        address = sender.address if len(sender.address) <= _MAX_ADDRESS else ""
        agent, headless, crawler = self.program_again(sender.agent[:MAX_AGENT], sender.hints)
        place, origin = self.where_again(address)
        return Told(
            sender,
            address,
            agent,
            place,
            headless,
            crawler,
            origin,
            is_proxy=crawler or origin is not None or agent.browser is None,
            is_suspect=headless or crawler or origin is not None or bool(sender.internal),
        )

    def _referrer(self, text: str) -> _Referrer:
        host = referrer_host(text)
        return _Referrer(kept_referrer(text) or None, host, is_spammer(host, self._spammers))

    def _where(self, address: str) -> _Where:
        return _Where(self._places.find(address), find_origin(address))


def _page(page_url: str, path_rules: str) -> _Page:
    page = read_page_url(page_url)
    path = normalise(path_rules, page.path, page.query)
    campaign = Campaign(*(page.utm.get(name) for name in Campaign._fields))
    return _Page(path, page.hostname, campaign, read_tag(page.utm, page.click))


def _program(user_agent: str, hints: ClientHints) -> _Program:
    return _Program(
        read_agent(user_agent, hints), is_headless(user_agent, False), is_crawler(user_agent)
    )
