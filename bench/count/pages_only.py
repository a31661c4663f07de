"""`python -m bench.count.pages_only`: the product's consumer, counting as little as its peers.

It reads, tells duplicates apart, keeps the ledgers and applies exactly once, in the product's own
code. Of what is counted only page views by page and minute are left, and only what is needed for
that is decoded.
"""

import signal
from collections.abc import Iterable
from typing import Any

import django
import msgspec

if __name__ == "__main__":
    django.setup()

from ingest.pageview import VERSION, PageView, UndecodableMessage
from processing.aggregation import Aggregator
from processing.deltas import Deltas, Known, Lookups
from processing.dimensions import PAGEVIEW
from processing.history_counts import HistoryCounts, by_step
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
    return page  # type: ignore[return-value]  # it has every field that is asked for


class PagesByMinute(Aggregator):
    """Made by the product's own wiring; only these methods differ."""

    def lookups(self, page_views: Iterable[PageView]) -> Lookups:
        wanted = Lookups()
        for page_view in page_views:
            if page_view.retryable:
                self._look_for_id(wanted, page_view)
        return wanted

    def _aggregate_site(
        self, deltas: Deltas, site: str, events: Any, known: Known, now_s: int
    ) -> None:
        rules = self._rules(site)
        history = HistoryCounts(deltas, self._retention, now_s, self._site_keys(site), rules)
        views = [event for event in events.counted if event.name == PAGEVIEW]
        for minute, of_minute in by_step(views, [view.ts for view in views], 60_000).items():
            history.count_pages(minute, of_minute)
        history.add()


def main() -> None:
    consumer = page_view_consumer(decode)
    for aggregator in consumer._aggregators:
        aggregator.__class__ = PagesByMinute
    signal.signal(signal.SIGTERM, lambda *_: consumer.stop())
    tune_interpreter()
    consumer.run()


if __name__ == "__main__":
    main()
