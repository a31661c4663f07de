"""The steps in their order: from a request and its sender to fields of the message. Pure.

What a step can't tell is left out. A `user_id` means that the site vouches for a visitor: where the
sender is a program or a server then, it speaks for somebody else. It is no bot, and its browser
and place are not the visitor's.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from ingest.enrichment.agent import read_agent
from ingest.enrichment.attribution import attribute, kept_referrer, referrer_host
from ingest.enrichment.bots import bot_reason
from ingest.enrichment.crawler import is_crawler
from ingest.enrichment.headless import is_headless
from ingest.enrichment.internal import is_internal
from ingest.enrichment.language import read_language
from ingest.enrichment.origin import find_origin
from ingest.enrichment.path import read_path_rules
from ingest.enrichment.place import PlaceFinder
from ingest.enrichment.referrer_spam import is_spammer
from ingest.enrichment.screen import screen_class
from ingest.enrichment.time_zone import read_time_zone
from ingest.page_url import PageUrl
from ingest.sender import Sender
from ingest.track_request import TrackRequest

# No address is longer; what is, came through a header and is none.
_MAX_ADDRESS = 45
_REMEMBERED_LENGTH = 250


class Referrer(NamedTuple):
    """`kept` goes into the message; `host` is in lower case."""

    kept: str
    host: str
    is_spam: bool


class Enrichment:
    """`spammers` are domains that no referrer may be of."""

    def __init__(self, places: PlaceFinder, spammers: frozenset[str]) -> None:
        self._places = places
        self._spammers = spammers
        # Bounded: 8,192 of at most 1 kB.
        self._referrer_again = lru_cache(maxsize=8_192)(self._referrer)

    def warm_up(self) -> None:
        """Load what the first page view would wait for, about a second."""
        self.fields(
            TrackRequest(page_url="/"), PageUrl(None, "/", {}), Sender("192.0.2.1", "-"), "", ""
        )

    def fields(
        self,
        request: TrackRequest,
        page: PageUrl,
        sender: Sender,
        path_rules: str,
        internal_addresses: str,
    ) -> dict[str, Any]:
        """Fields of `PageView`. The last two are the site's, as the admin writes them."""
        referrer = self._read_referrer(request.referrer or "")
        address = sender.address if len(sender.address) <= _MAX_ADDRESS else ""
        crawler, origin = is_crawler(sender.agent), find_origin(address)
        vouched = request.user_id is not None
        speaks_for_itself = not (vouched and (crawler or origin))
        reason = bot_reason(
            internal=is_internal(address, internal_addresses, sender.internal),
            headless=is_headless(sender.agent, bool(request.headless)),
            crawler=crawler and not vouched,
            origin=None if vouched else origin,
            spam=referrer.is_spam,
        )
        fields: dict[str, Any] = {
            "path": read_path_rules(path_rules).normalise(page.path, page.query)
        }
        fields["source"], fields["channel"] = attribute(
            referrer.host, page.hostname, page.utm, page.click
        )
        if referrer.kept:
            fields["referrer"] = referrer.kept
        if speaks_for_itself:
            agent = read_agent(sender.agent, sender.hints)
            fields |= agent._asdict()
            fields["country"], fields["region"] = self._places.find(address)
        if request.screen:
            fields["screen"] = request.screen
            fields["screen_class"] = screen_class(request.screen)
        if request.language:
            fields["language"] = read_language(request.language)
        if request.time_zone:
            fields["time_zone"] = read_time_zone(request.time_zone)
        if reason:
            fields["bot"] = reason
        return fields

    def _read_referrer(self, text: str) -> Referrer:
        short = len(text) <= _REMEMBERED_LENGTH
        return self._referrer_again(text) if short else self._referrer(text)

    def _referrer(self, text: str) -> Referrer:
        host = referrer_host(text)
        return Referrer(kept_referrer(text), host, is_spammer(host, self._spammers))
