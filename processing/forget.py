"""Forgets visitors and sites, step by step; each step may be killed and done again
(SPEC.md §22)."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q, QuerySet, Sum

from processing import keys
from processing.archive import Archive
from processing.counters import Counters, RedisClient
from processing.forgotten import EVERYONE, Forgotten
from processing.log import Log
from processing.models import Forgetting, Segment

logger = logging.getLogger(__name__)

# An event may be on its way, and clocks differ, for so long at most.
MARGIN = timedelta(days=1)


class Emptied(NamedTuple):
    """A segment that was looked through: its events, and how many of them lost their content."""

    events: int
    forgotten: int


def begin(site: str, visitor: str, before: int) -> Forgetting:
    """Write down that a visitor of the site, or `EVERYONE`, is to be forgotten with all that
    arrived before `before` (Unix ms). What is begun and not done yet stays as it is."""
    while True:
        unfinished = Forgetting.objects.filter(site=site, visitor=visitor, done_at=None).first()
        if unfinished is not None:
            return unfinished
        number = (Forgetting.objects.aggregate(last=Max("number"))["last"] or 0) + 1
        try:
            with transaction.atomic():
                return Forgetting.objects.create(
                    number=number, site=site, visitor=visitor, before=before
                )
        except IntegrityError:
            continue  # another process took the number


def tell_store(live: Counters, number: int) -> None:
    """From now on nothing is counted by who does not know of all forgettings up to `number`."""
    pipeline = live.client.pipeline(transaction=False)
    for shard in range(live.shards):
        pipeline.sadd(keys.forgotten(shard), *range(1, number + 1))
    pipeline.execute()


def take_out_of_now(client: RedisClient, shards: int, forgettings: Iterable[Forgetting]) -> None:
    """What a rebuild leaves as it is: who is here now, and the last events, which do not say
    whose they are."""
    for one in forgettings:
        site = keys.SiteKeys(one.site, shards)
        hashes = (site.now_pages, site.now_sources, site.now_countries)
        if one.visitor == EVERYONE:
            client.delete(site.now, *hashes, site.feed, site.state)
            continue
        client.zrem(site.now, one.visitor)
        for name in hashes:
            client.hdel(name, one.visitor)
        client.delete(site.feed)


def archived_events(forgotten: Forgotten) -> int:
    """How many archived events are to be looked through."""
    offsets = _to_look_through(forgotten).aggregate(events=Sum(F("end") - F("start")))
    return int(offsets["events"] or 0)


def take_out_of_archive(archive: Archive, forgotten: Forgotten) -> Iterator[Emptied]:
    """Rewrite every object that holds something forgotten; yields each segment. Raises
    `OSError`, `pyarrow.ArrowException`."""
    for pk in list(_to_look_through(forgotten).values_list("pk", flat=True)):
        segment = Segment.objects.get(pk=pk)
        yield Emptied(segment.events, archive.forget(segment, forgotten))


def finish(number: int, now: datetime) -> None:
    Forgetting.objects.filter(number__lte=number, done_at=None).update(done_at=now)


def retire(log: Log, now: datetime) -> int:
    """Empty the rows of what Kafka can't hold any more; returns how many. Raises
    `LogUnavailable`."""
    due = Forgetting.objects.filter(done_at__isnull=False, before__lt=_ms(now - MARGIN)).exclude(
        site=""
    )
    if not due:
        return 0
    oldest = _oldest(log)
    if oldest is None:
        return 0
    numbers = [
        one.number
        for one in due
        if one.before + MARGIN.total_seconds() * 1_000 < oldest
        and not _to_look_through(Forgotten(one.number)).exists()
    ]
    Forgetting.objects.filter(number__in=numbers).update(site="", visitor="")
    return len(numbers)


def _to_look_through(forgotten: Forgotten) -> QuerySet[Segment]:
    return Segment.objects.filter(
        Q(state=Segment.State.WRITTEN, forgotten_to__lt=forgotten.number) | ~Q(replaced_key="")
    ).order_by("pk")


def _oldest(log: Log) -> float | None:
    """When the oldest message that Kafka holds was sent, in Unix ms; infinite where it holds
    none, None where that can't be told now."""
    partitions = log.describe().partitions
    starts, ends = log.starts(partitions), log.ends(partitions)
    sent = []
    for partition in range(partitions):
        if starts[partition] < ends[partition]:
            message = log.message(partition, starts[partition])
            if message is None:
                return None
            sent.append(message.timestamp()[1])
    return min(sent, default=float("inf"))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
