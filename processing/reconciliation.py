"""Compares what Redis says with a recount of the archive and the log (SPEC.md §12)."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.conf import settings
from django.db.models import Max

from ingest.models import Site
from processing import keys
from processing.aggregation import CATEGORIES, EXPIRED, HOLES
from processing.archive import Archive
from processing.comparison import Comparison, Difference
from processing.counters import RedisClient, connect
from processing.duplicates import DuplicateWindows
from processing.history import Event, History
from processing.models import Segment
from processing.recount import Recount
from processing.rules import Retention, SiteRules
from processing.site_rules import rules_of
from processing.snapshot import Markers, Selection, Snapshot

_TELL_EVERY = 1_000


@dataclass
class Findings:
    """What a reconciliation found. `waiting`: events in Kafka that are not counted yet;
    `unreadable`: what could not be recounted, in sentences."""

    events: int
    waiting: int
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reconciliation:
    """Compares one live store with all that was ever logged for it.

    Raises `redis.RedisError`, `LogUnavailable`, `OSError`, `pyarrow.ArrowException` or
    `ArchiveUrlError` while a part can't be read.
    """

    client: RedisClient
    shards: int
    archive: Archive
    rules: Callable[[str], SiteRules]
    windows: DuplicateWindows
    retention: Retention
    most_values: int = 1_000

    @classmethod
    def from_settings(cls) -> "Reconciliation":
        sites = {site.public_id: rules_of(site) for site in Site.objects.all()}
        return cls(
            connect(settings.REDIS_URL, timeout=60),
            settings.REDIS_SHARDS,
            Archive.from_settings(),
            lambda site: sites.get(site, SiteRules()),
            DuplicateWindows(
                recent=settings.DUPLICATE_WINDOW_MINUTES * 60_000,
                backfill=settings.BACKFILL_DUPLICATE_WINDOW_DAYS * 86_400_000,
            ),
            Retention(
                minute=settings.MINUTE_RETENTION_HOURS * 3_600,
                hour=settings.HOUR_RETENTION_DAYS * 86_400,
            ),
            settings.TOP_VALUES,
        )

    def run(
        self,
        site: str | None = None,
        first: date = date.min,
        last: date = date.max,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> Findings:
        """Compare the numbers of `site` (None: of all) from the site's own day `first` to
        `last`, and the whole ledger of the partitions. `tell` hears how many events were
        recounted of how many.
        """
        selection = Selection(self.rules, self.retention, int(time.time()), site, first, last)
        logs = self._logs()
        snapshot = Snapshot(self.client, self.shards, logs, selection)
        history = History.open(self.archive)
        recount = self._recount(snapshot, history, logs, tell)
        findings = Findings(recount.events, waiting=_waiting(history, snapshot.ends()))
        for entry in [
            *self._numbers(snapshot, recount),
            *_ledgers(snapshot, recount, history),
            *self._left_behind(history, snapshot),
        ]:
            findings.compared += 1
            if not entry.agrees:
                findings.differences.append(entry)
        findings.unreadable = list(_unreadable(history))
        return findings

    def _numbers(self, snapshot: Snapshot, recount: Recount) -> Iterator[Difference]:
        counted = recount.counts.keys() | recount.visitors.keys() | recount.arrivals.keys()
        for day in sorted(snapshot.days.keys() | counted):
            asked = snapshot.days.get(day)
            comparison = Comparison(
                day,
                self.rules(day.site).time_zone,
                {} if asked is None else asked.numbers,
                recount.of_day(day),
                recount.added[day],
                self.most_values,
            )
            yield from comparison.numbers()

    def _recount(
        self,
        snapshot: Snapshot,
        history: History,
        logs: Sequence[str],
        tell: Callable[[int, int], None],
    ) -> Recount:
        recount = Recount(snapshot, self.rules, self._shard_of, self.windows)
        ends = snapshot.ends()
        total = sum(ends.values())
        for log in logs:
            for event in _in_order_of_arrival(history, log, ends):
                recount.count(event)
                if recount.events % _TELL_EVERY == 0:
                    tell(recount.events, total)
        recount.finish()
        history.confirm()
        tell(total, total)
        return recount

    def _shard_of(self, site: str) -> int:
        return keys.shard_of(site, self.shards)

    def _logs(self) -> list[str]:
        """Every log that was counted or archived, oldest first."""
        topic = self.archive.log.topic
        counted = [log.decode() for log in self.client.zrange(keys.logs(topic), 0, -1)]
        archived = Segment.objects.filter(topic=topic).values_list("topic_id", flat=True)
        others = archived.order_by("topic_id").distinct()
        return [log for log in others if log not in counted] + counted

    def _left_behind(self, history: History, snapshot: Snapshot) -> Iterator[Difference]:
        """What is archived of a log that is gone and was never counted; nobody will."""
        segments = Segment.objects.filter(
            topic=self.archive.log.topic, state=Segment.State.WRITTEN
        ).exclude(topic_id=history.topic.id)
        for log, partition, end in (
            segments.order_by("topic_id", "partition")
            .values_list("topic_id", "partition")
            .annotate(end=Max("end"))
        ):
            marker = min(books.markers.get((log, partition), 0) for books in snapshot.books)
            place = f"archived offsets of log {log}, partition {partition}, that were counted"
            yield Difference(place, min(marker, end), end)


def _in_order_of_arrival(history: History, log: str, ends: Markers) -> Iterator[Event]:
    partitions = [
        history.read(log, partition, end)
        for (of_log, partition), end in sorted(ends.items())
        if of_log == log
    ]
    return heapq.merge(*partitions, key=_arrival)


def _arrival(event: Event) -> int:
    return 0 if event.page_view is None else event.page_view.received


def _ledgers(snapshot: Snapshot, recount: Recount, history: History) -> Iterator[Difference]:
    for shard, books in enumerate(snapshot.books):
        places = books.markers.keys() | {(log, partition) for log, partition, _ in books.ledger}
        for log, partition in sorted(places):
            where = f"ledger of log {log}, partition {partition}"
            if len(snapshot.books) > 1:
                where += f", shard {shard}"
            for category in CATEGORIES:
                redis = books.ledger.get((log, partition, category), 0)
                found = recount.ledger[shard, log, partition, category]
                yield Difference(f"{where}, {category}", redis, found)
            redis = sum(books.ledger.get((log, partition, name), 0) for name in (EXPIRED, HOLES))
            marker = books.markers.get((log, partition), 0)
            found = _missing_before(history, (log, partition), marker)
            yield Difference(f"{where}, offsets without an event", redis, found)


def _missing_before(history: History, place: tuple[str, int], marker: int) -> int:
    gaps = history.gaps.get(place, [])
    return sum(max(0, min(end, marker) - start) for start, end in gaps)


def _unreadable(history: History) -> Iterator[str]:
    for (log, partition), gaps in sorted(history.gaps.items()):
        for start, end in gaps:
            yield (
                f"Offsets {start:,} to {end - 1:,} of log {log}, partition {partition}, are "
                "neither in the archive nor in Kafka."
            )


def _waiting(history: History, counted: Markers) -> int:
    return sum(
        max(0, end - counted.get((history.topic.id, partition), 0))
        for partition, end in history.ends.items()
    )
