"""A live store, and page views counted into it by the product's own write path."""

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ingest.models import Site
from ingest.pageview import PageView
from processing.aggregation import Aggregator, Portion
from processing.counters import APPLIED, Counters, Range, RedisClient
from processing.deltas import Deltas
from processing.duplicates import DuplicateWindows
from processing.rules import Retention, SiteRules
from processing.site_rules import rules_of
from processing.stats import now_ms

TOPIC = "counted"
WINDOWS = DuplicateWindows(recent=600_000, backfill=30 * 86_400_000)


@dataclass
class CountedStore:
    """What a consumer leaves in Redis, without a broker: one log of one partition."""

    client: RedisClient
    topic_id: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    offset: int = 0
    most_values: int = 1_000

    def view(self, site: Site, path: str = "/", visitor: str = "v1", **fields: Any) -> PageView:
        now = now_ms()
        values: dict[str, Any] = {"id": str(uuid.uuid4()), "ts": now, "received": now}
        return PageView(site=site.public_id, path=path, visitor=visitor, **(values | fields))

    def count(self, *page_views: PageView) -> None:
        """Apply one batch, under the rules that the sites have now."""
        retention = Retention(48 * 3_600, 90 * 86_400)
        aggregator = Aggregator(0, 1, _rules, retention, WINDOWS, self.most_values)
        counters = Counters(self.client, 1)
        counters.remember_log(TOPIC, self.topic_id)
        known = counters.look_up(aggregator.lookups(page_views))
        end = self.offset + len(page_views)
        portion = Portion(0, page_views, range(self.offset, end))
        deltas = aggregator.aggregate([portion], known, now_ms() // 1_000)
        outcome = counters.apply(0, self.topic_id, [Range(0, self.offset, end)], deltas)
        assert outcome.result == APPLIED
        self.offset = end

    def tally(self, partition: int = 0, **events: int) -> None:
        """Move the marker past events that need no page view, such as invalid or expired."""
        counters = Counters(self.client, 1)
        counters.remember_log(TOPIC, self.topic_id)
        (markers,) = counters.markers(self.topic_id, partition + 1)
        start, end = markers[partition], markers[partition] + sum(events.values())
        deltas = Deltas(ledger={partition: events})
        outcome = counters.apply(0, self.topic_id, [Range(partition, start, end)], deltas)
        assert outcome.result == APPLIED
        if partition == 0:
            self.offset = end

    def report(self, through: int, at: int, log_end: int | None = None) -> None:
        """What the consumer says of its partition twice a second."""
        counters = Counters(self.client, 1)
        counters.remember_log(TOPIC, self.topic_id)
        end = self.offset if log_end is None else log_end
        report = {"log_end": end, "marker": self.offset, "through": through, "at": at}
        counters.report(self.topic_id, {0: report})


def local(day: date, time_of_day: str, time_zone: str) -> int:
    """Unix milliseconds of a wall clock's time."""
    moment = datetime.fromisoformat(f"{day}T{time_of_day}").replace(tzinfo=ZoneInfo(time_zone))
    return round(moment.timestamp() * 1000)


def _rules(public_id: str) -> SiteRules:
    return rules_of(Site.objects.get(public_id=public_id))
