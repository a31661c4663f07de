"""The steps in their order: from a request and its sender to fields of the message. Pure.

What a step can't tell is None. A `user_id` means that the site vouches for a visitor: where the
sender is no browser or a server then, it speaks for somebody else. It is no bot, and its browser
and place are not the visitor's.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from ingest.enrichment.agent import UNKNOWN, read_agent
from ingest.enrichment.attribution import attribute, kept_referrer, referrer_host
from ingest.enrichment.bots import bot_reason
from ingest.enrichment.crawler import is_crawler
from ingest.enrichment.headless import is_headless
from ingest.enrichment.internal import is_internal
from ingest.enrichment.language import read_language
from ingest.enrichment.origin import find_origin
from ingest.enrichment.path import normalise
from ingest.enrichment.place import NOWHERE, PlaceFinder
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
        self.referrer_again = lru_cache(maxsize=8_192)(self._referrer)

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
        referrer = self.read_referrer(request.referrer or "")
        address = sender.address if len(sender.address) <= _MAX_ADDRESS else ""
        crawler, origin = is_crawler(sender.agent), find_origin(address)
        vouched = request.user_id is not None
        bot = bot_reason(
            internal=is_internal(address, internal_addresses, sender.internal),
            headless=is_headless(sender.agent, bool(request.headless)),
            crawler=crawler and not vouched,
            origin=None if vouched else origin,
            spam=referrer.is_spam,
        )
        agent, place = read_agent(sender.agent, sender.hints), NOWHERE
        if vouched and (crawler or origin or agent.browser is None):
            agent = UNKNOWN
        else:
            place = self._places.find(address)
        source, channel = attribute(referrer.host, page.hostname, page.utm, page.click)
        return {
            "path": normalise(path_rules, page.path, page.query),
            "referrer": referrer.kept or None,
            "source": source,
            "channel": channel,
            "browser": agent.browser,
            "browser_version": agent.browser_version,
            "os": agent.os,
            "os_version": agent.os_version,
            "device": agent.device,
            "country": place.country,
            "region": place.region,
            "screen": request.screen or None,
            "screen_class": screen_class(request.screen) if request.screen else None,
            "language": read_language(request.language) if request.language else None,
            "time_zone": read_time_zone(request.time_zone) if request.time_zone else None,
            "bot": bot,
        }

    def read_referrer(self, text: str) -> Referrer:
        short = len(text) <= _REMEMBERED_LENGTH
        return self.referrer_again(text) if short else self._referrer(text)

    def _referrer(self, text: str) -> Referrer:
        host = referrer_host(text)
        return Referrer(kept_referrer(text), host, is_spammer(host, self._spammers))
