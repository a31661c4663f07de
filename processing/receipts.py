"""What became of one event: looked up by its receipt, stored nowhere (SPEC.md §13)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from ingest.models import Site
from ingest.pageview import PageView
from processing import keys
from processing.aggregation import BOT, COUNTED, DUPLICATE, EXPIRED, FORGOTTEN, INVALID, LATE
from processing.archive import Archive
from processing.counters import RedisClient, connect
from processing.duplicate_notes import is_noted, read_runs
from processing.forgotten_list import read_forgotten
from processing.history import Archived, Event, find_archived, page_view_in, written
from processing.models import Segment
from processing.rules import SiteRules
from processing.site_rules import rules_of

WAITING = "waiting"
OUTCOMES = (WAITING, COUNTED, DUPLICATE, BOT, LATE, INVALID, FORGOTTEN, EXPIRED)
_REASONS = {
    WAITING: "It is safe in Kafka and will be counted.",
    COUNTED: "It is in the counts of its site.",
    DUPLICATE: "An event of the same site and event_id had been counted before.",
    BOT: "It is a bot's.",
    LATE: "It was older, as it arrived, than what the site keeps.",
    INVALID: "It is no page view that this version can read. It lies in the dead letters too.",
    FORGOTTEN: "Its visitor or site was forgotten: it is in no number and nothing is left of it.",
    EXPIRED: "It was logged; by now neither Kafka nor the archive holds it.",
}


class UnknownReceipt(LookupError):
    """Raised when no log has had such an event; says so in a sentence."""


@dataclass(frozen=True)
class Place:
    """Where an event was logged. `log` is a topic id; None: the log of the present."""

    partition: int
    offset: int
    log: str | None = None

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}"


@dataclass(frozen=True)
class Fate:
    """What became of an event. `page_view` is None where it can't be read."""

    place: Place
    log: str
    outcome: str
    page_view: PageView | None = None
    archived: Archived | None = None

    @property
    def site(self) -> str | None:
        return None if self.page_view is None else self.page_view.site

    def as_json(self) -> dict[str, Any]:
        found = self.page_view
        return {
            "receipt": str(self.place),
            "log": self.log,
            "logged": True,
            "outcome": self.outcome,
            "reason": _REASONS[self.outcome],
            "site": self.site,
            "event_id": None if found is None else found.id,
            "path": None if found is None else found.path,
            "archived": None if self.archived is None else self.archived.as_json(),
        }


@dataclass(frozen=True)
class Receipts:
    """Looks events up: a comparison of offsets in Redis and one read of the archive or,
    where that does not have it yet, of the log. Thread-safe.

    Raises `redis.RedisError`, `LogUnavailable`, `OSError` or `pyarrow.ArrowException` while
    a part that is needed does not answer.
    """

    client: RedisClient
    shards: int
    archive: Archive
    rules: Callable[[str], SiteRules]

    @classmethod
    def from_settings(cls) -> "Receipts":
        archive = Archive.from_settings()
        archive.log.timeout = 5.0
        return cls(connect(settings.REDIS_URL), settings.REDIS_SHARDS, archive, _rules_now)

    def find(self, place: Place) -> Fate:
        """Raises `UnknownReceipt` too."""
        log = place.log or self.archive.log.describe().id
        segment = self._segment(log, place)
        if segment is not None:
            found = find_archived(self.archive, segment, place.offset)
            if found is None:
                raise _unknown(place, log)
            event, archived = found
            return self._judged(place, event, archived)
        event_now = self._in_log(place, log)
        if event_now is not None:
            return self._judged(place, event_now, None)
        if self._was_logged(place, log):
            return Fate(place, log, EXPIRED)
        raise _unknown(place, log)

    def _judged(self, place: Place, event: Event, archived: Archived | None) -> Fate:
        event = event.without(read_forgotten())
        outcome = self._outcome(event)
        return Fate(place, event.topic_id, outcome, event.page_view, archived)

    def _segment(self, log: str, place: Place) -> Segment | None:
        return (
            written(log, place.partition)
            .filter(start__lte=place.offset, end__gt=place.offset)
            .first()
        )

    def _in_log(self, place: Place, log: str) -> Event | None:
        """The event as Kafka has it now."""
        topic = self.archive.log.describe()
        if topic.id != log or place.partition >= topic.partitions:
            return None
        message = self.archive.log.message(place.partition, place.offset)
        if message is None or self.archive.log.describe().id != log:
            return None
        return Event(log, place.partition, place.offset, page_view_in(message))

    def _outcome(self, event: Event) -> str:
        """The same decisions in the same order as when it was counted."""
        page_view = event.page_view
        shard = 0 if page_view is None else keys.shard_of(page_view.site, self.shards)
        passed, noted = self._books(shard, event)
        if not passed:
            return WAITING
        if page_view is None:
            return FORGOTTEN if event.is_forgotten else INVALID
        if noted:
            return DUPLICATE
        rules = self.rules(page_view.site)
        if rules.is_bot(page_view):
            return BOT
        if rules.is_late(page_view):
            return LATE
        return COUNTED

    def _books(self, shard: int, event: Event) -> tuple[bool, bool]:
        """Whether it was read, and whether it was noted as a duplicate."""
        log, partition, offset = event[:3]
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hget(keys.marker(shard, log), str(partition))
        pipeline.zrange(
            keys.duplicates(shard, log, partition), offset, "+inf", byscore=True, offset=0, num=1
        )
        marker, runs = pipeline.execute()
        return int(marker or 0) > offset, is_noted(read_runs(runs), offset)

    def _was_logged(self, place: Place, log: str) -> bool:
        """Whether the log has passed this offset, although nobody holds the event."""
        partition = str(place.partition)
        for shard in range(self.shards):
            if int(self.client.hget(keys.marker(shard, log), partition) or 0) > place.offset:
                return True
        planned = Segment.objects.filter(
            topic_id=log, partition=place.partition, end__gt=place.offset
        )
        return planned.exists()


def _unknown(place: Place, log: str) -> UnknownReceipt:
    return UnknownReceipt(f"No event with the receipt {place} is known in the log {log}.")


def _rules_now(public_id: str) -> SiteRules:
    return rules_of(Site.objects.filter(public_id=public_id).first())
