"""The steps in their order: from a request and its sender to fields of the message. Pure.

What a step can't tell is None. A `user_id` means that the site vouches for a visitor: where the
sender is no browser or a server then, it speaks for somebody else. It is no bot, and its browser
and place are not the visitor's.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ingest.enrichment.agent import MAX_AGENT, read_agent
from ingest.enrichment.attribution import attribute, kept_referrer, referrer_host
from ingest.enrichment.bots import bot_reason
from ingest.enrichment.click_id import Click
from ingest.enrichment.client_hints import ClientHints
from ingest.enrichment.crawler import is_crawler
from ingest.enrichment.headless import is_headless
from ingest.enrichment.internal import is_internal
from ingest.enrichment.language import read_language
from ingest.enrichment.origin import Origin, find_origin
from ingest.enrichment.path import normalise
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.referrer_spam import is_spammer
from ingest.enrichment.screen import screen_class
from ingest.enrichment.time_zone import read_time_zone
from ingest.page_url import read_page_url
from ingest.sender import Sender
from ingest.track_request import TrackRequest

# No address is longer; what is, came through a header and is none.
_MAX_ADDRESS = 45
_REMEMBERED_LENGTH = 250


class _Page(NamedTuple):
    """What the page's address tells; `fields` go into the message."""

    fields: Mapping[str, str | None]
    hostname: str | None
    utm: Mapping[str, str]
    click: Click | None


class _Referrer(NamedTuple):
    """`kept` goes into the message; `host` is in lower case."""

    kept: str | None
    host: str
    is_spam: bool


class _Program(NamedTuple):
    """What user agent and client hints tell; `fields` go into the message."""

    fields: Mapping[str, str | None]
    is_browser: bool
    is_headless: bool
    is_crawler: bool


class _Where(NamedTuple):
    """What the address tells; `fields` go into the message."""

    fields: Mapping[str, str | None]
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
        self.fields(TrackRequest(page_url="/"), Sender("192.0.2.1", "-"), "", "")

    def fields(
        self, request: TrackRequest, sender: Sender, path_rules: str, internal_addresses: str
    ) -> dict[str, Any]:
        """Fields of `PageView`. The last two are the site's, as the admin writes them."""
        page = self._read_page(request.page_url, path_rules)
        referrer = self._read_referrer(request.referrer or "")
        address = sender.address if len(sender.address) <= _MAX_ADDRESS else ""
        program = self.program_again(sender.agent[:MAX_AGENT], sender.hints)
        where = self.where_again(address)
        source, channel = attribute(referrer.host, page.hostname, page.utm, page.click)
        vouched = request.user_id is not None
        fields: dict[str, Any] = {**page.fields}
        if not (vouched and (program.is_crawler or where.origin or not program.is_browser)):
            fields.update(program.fields)
            fields.update(where.fields)
        fields["referrer"], fields["source"], fields["channel"] = referrer.kept, source, channel
        fields["bot"] = bot_reason(
            internal=is_internal(address, internal_addresses, sender.internal),
            headless=program.is_headless or bool(request.headless),
            crawler=program.is_crawler and not vouched,
            origin=None if vouched else where.origin,
            spam=referrer.is_spam,
        )
        if request.screen:
            fields["screen"] = request.screen
            fields["screen_class"] = screen_class(request.screen)
        if request.language:
            fields["language"] = read_language(request.language)
        if request.time_zone:
            fields["time_zone"] = read_time_zone(request.time_zone)
        return fields

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
        return _Where(_said(self._places.find(address)._asdict()), find_origin(address))


def _page(page_url: str, path_rules: str) -> _Page:
    page = read_page_url(page_url)
    path = normalise(path_rules, page.path, page.query)
    fields = _said({**page.utm, "hostname": page.hostname}) | {"path": path}
    return _Page(fields, page.hostname, page.utm, page.click)


def _program(user_agent: str, hints: ClientHints) -> _Program:
    agent = read_agent(user_agent, hints)
    return _Program(
        _said(agent._asdict()),
        agent.browser is not None,
        is_headless(user_agent, False),
        is_crawler(user_agent),
    )


def _said(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    """Without what is not known: the message leaves it out."""
    return {name: value for name, value in fields.items() if value is not None}
