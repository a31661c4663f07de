"""`python -m bench.count.pages_only`: the product's consumer, counting as little as its peers.

It reads, tells duplicates apart, keeps the ledgers and applies exactly once, in the product's own
code. Of what is counted only page views by page and minute are left, and only what is needed for
that is decoded.
"""

import signal
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import django
import msgspec

if __name__ == "__main__":
    django.setup()

from ingest.pageview import VERSION, PageView, UndecodableMessage
from processing import keys
from processing.aggregation import Aggregator
from processing.consumer import PageViewConsumer
from processing.deltas import Deltas, Lookups
from processing.dimensions import ALL, PAGEVIEW
from processing.history_counts import by_step
from processing.management.commands.consume import page_view_consumer, tune_interpreter


class Page(msgspec.Struct, frozen=True, gc=False):
    """The fields of a page view that are counted by here, or that the protocol wants."""

    id: str
    site: str
    path: str
    ts: int
    received: int
    v: int = VERSION
    name: str = PAGEVIEW
    retryable: bool = False
    bot: str | None = None


_decoder = msgspec.json.Decoder(Page)


def decode(message: bytes | None) -> PageView:
    """As the product's, in fewer fields."""
    try:
        page = _decoder.decode(message or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UndecodableMessage(str(error)) from None
    if page.v != VERSION:
        raise UndecodableMessage(f"its version is {page.v}")
    return cast(PageView, page)


class PagesByMinute(Aggregator):
    """Made by the product's own wiring; only these methods differ."""

    def lookups(self, page_views: Iterable[PageView]) -> Lookups:
        wanted = Lookups()
        for page_view in page_views:
            if page_view.retryable:
                self._look_for_id(wanted, page_view)
        return wanted

    def _aggregate_site(self, deltas: Deltas, site: str, events: Any, *_: Any) -> None:
        views = [event for event in events.counted if event.name == PAGEVIEW]
        site_keys = self._site_keys(site)
        for minute, of_minute in by_step(views, [view.ts for view in views], 60_000).items():
            pages = Counter([view.path for view in of_minute])
            pages[ALL] = len(of_minute)
            expiry = (minute + 1) * 60 + self._retention.minute
            deltas.buckets.append(([(site_keys.views(keys.MINUTE, minute), expiry)], pages))


class PagesConsumer(PageViewConsumer):
    _decode = staticmethod(decode)

    def count_pages_only(self) -> None:
        for aggregator in self._aggregators:
            aggregator.__class__ = PagesByMinute


def main() -> None:
    consumer = page_view_consumer()
    consumer.__class__ = PagesConsumer
    cast(PagesConsumer, consumer).count_pages_only()
    signal.signal(signal.SIGTERM, lambda *_: consumer.stop())
    tune_interpreter()
    consumer.run()


if __name__ == "__main__":
    main()
