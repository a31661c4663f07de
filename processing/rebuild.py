"""Counts sites anew beside the live numbers and then puts the new ones in their place
(SPEC.md §7)."""

import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from importlib import resources

from ingest.models import Site
from processing import keys
from processing.archive_replay import ArchiveReplay
from processing.calendar import day_number, local_hour
from processing.counters import Counters
from processing.counting import Batch, Counting, batches
from processing.dimensions import ALL
from processing.log import Log, Topic
from processing.visits import STEP_MS, step_end

# For so long at most the counting of a shard stands still while its numbers are swapped.
HOLD_MS = 10_000
# What was counted beside the live numbers and left alone for so long is dropped by the next
# rebuild: nobody goes on with it, or Redis was turned back to before it was dropped.
ABANDONED_MS = 86_400_000
_BUCKET = re.compile(
    r"(?P<kind>[mhd]|ledger|live|visits):(?P<bucket>\d+)(?P<rest>:v.*)?", re.DOTALL
)


class NotSwapped(RuntimeError):
    """Raised when the live numbers moved on too fast, or the swap took too long; try again."""


@dataclass(frozen=True)
class Days:
    """The site's own days to be replaced, as 20261123, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class Difference:
    """A day of a site whose numbers change."""

    site: str
    day: int
    views: tuple[int, int]
    visitors: tuple[int, int]


def space_of(topic: str, sites: Sequence[Site], days: Days | None) -> str:
    """Where this rebuild counts: the same for the same sites under the same rules, so that it
    goes on after a kill, and never mixes what was counted under other ones."""
    rules = [(site.public_id, site.time_zone, site.retention_days) for site in sites]
    digest = blake2b(repr((sorted(rules, key=str), days)).encode(), digest_size=6).hexdigest()
    return f"rebuild:{topic}:{digest}:"


class Rebuild:
    """One rebuild of `sites`; of all their days, or of `days` only.

    `replay` counts into a space of its own, nothing but these sites. `live` are the numbers
    that everyone reads; they are counted on meanwhile.
    """

    def __init__(
        self,
        log: Log,
        replay: ArchiveReplay,
        live: Counters,
        sites: Sequence[Site],
        days: Days | None,
    ) -> None:
        self._log = log
        self._replay = replay
        self._shadow = replay.counters
        self._live = live
        self._sites = {site.public_id: site for site in sites}
        self._days = days
        self._rebuilds = keys.rebuilds(log.topic)
        source = (resources.files(__package__) / "swap.lua").read_text()
        self._script = live.client.register_script(source)

    def events(self) -> int:
        """About how many events are to be counted."""
        topic = self._log.describe()
        planned = self._replay.planned(topic.name)
        planned[topic.id] = self._log.ends(topic.partitions)
        return sum(end for ends in planned.values() for end in ends.values())

    def count(self) -> Iterator[int]:
        """Count archive and log up to where the live numbers are; yields events, a batch a step.

        Goes on where an earlier try of the same rebuild stopped. Raises `RepairWaits`,
        `LogUnavailable`, `redis.RedisError`: then it is to be called again.
        """
        self._drop_abandoned()
        for events in self._count():
            self._live.client.zadd(self._rebuilds, {self._shadow.space: _now_ms()})
            yield events

    def _count(self) -> Iterator[int]:
        topic = self._log.describe()
        planned = self._replay.planned(topic.name)
        current = planned.pop(topic.id, {})
        for log, ends in planned.items():
            yield from self._replay.earlier_log(log, ends)
        counting = self._counting(topic)
        yield from self._replay.segments(counting, current)
        yield from self._count_log(topic, counting)

    def _drop_abandoned(self) -> None:
        before = _now_ms() - ABANDONED_MS
        for space in self._live.client.zrange(self._rebuilds, "-inf", before, byscore=True):
            if space.decode() != self._shadow.space:
                self._clear(space.decode())

    def swap(self) -> tuple[list[Difference], int]:
        """The days that change and how many keys were replaced. Raises `NotSwapped`."""
        topic = self._log.describe()
        self._wait_for_live(topic)
        shards = sorted({keys.shard_of(site, self._live.shards) for site in self._sites})
        found = [self._swap_shard(topic, shard) for shard in shards]
        return [d for differences, _ in found for d in differences], sum(n for _, n in found)

    def clear(self) -> None:
        """Drop what was counted beside the live numbers."""
        self._clear(self._shadow.space)

    def _clear(self, space: str) -> None:
        for names in _chunks(self._scan(f"{space}*")):
            self._live.client.unlink(*names)
        self._live.client.zrem(self._rebuilds, space)

    # --- Counting ---------------------------------------------------------------------

    def _counting(self, topic: Topic) -> Counting:
        return self._replay.counting(topic.id, topic.partitions)

    def _live_counting(self, topic: Topic) -> Counting:
        return Counting(self._live, (), topic.id, topic.partitions, _no_clock)

    def _count_log(self, topic: Topic, counting: Counting) -> Iterator[int]:
        live = self._live_counting(topic)
        for partition in range(topic.partitions):
            start, end = counting.position(partition), live.position(partition)
            for batch in self._batches(start, end, partition):
                counting.count(batch)
                yield len(batch.offsets)

    def _batches(self, start: int, end: int, partition: int) -> Iterator[Batch]:
        """What the log holds from `start` to `end`, with nothing but the wanted sites in it."""
        if start < end:
            for batch in batches(self._log.read(partition, start, end), partition):
                yield batch.only(self._sites)
            # Where the last offsets hold no message, the marker passes over them too.
            yield Batch(partition, offsets=[end - 1])

    def _wait_for_live(self, topic: Topic) -> None:
        """The archive may be ahead of the live numbers."""
        deadline = time.monotonic() + 60
        while True:
            new, live = self._counting(topic), self._live_counting(topic)
            if all(new.position(p) <= live.position(p) for p in range(topic.partitions)):
                return
            if time.monotonic() > deadline:
                raise NotSwapped("The live numbers are behind the archive. Is a consumer running?")
            time.sleep(0.1)

    # --- Swapping ---------------------------------------------------------------------

    def _swap_shard(self, topic: Topic, shard: int) -> tuple[list[Difference], int]:
        space, old = self._shadow.space, self._wanted_keys(shard)
        counted = self._shadow.touched = set(self._scan(f"{space}{keys.tag(shard)}:*"))
        self._reach(topic, shard)
        with self._hold(shard) as token:
            self._reach(topic, shard)
            new = self._wanted(counted, shard, space)
            differences = self._differences(shard, old | new)
            pairs = [(space + name, name) for name in sorted(new)]
            # With its numbers the shard's markers go too, at once: a rebuild that is started again
            # after a kill would otherwise find all counted and nothing there.
            rest = counted - {name for name, _ in pairs}
            if not self._run(shard, token, pairs, [*(old - new), *rest]):
                raise NotSwapped("The live numbers were not swapped: it took too long. Try again.")
        return differences, len(old | new)

    def _reach(self, topic: Topic, shard: int) -> None:
        """Count one shard as far as the live numbers are."""
        new, live = self._counting(topic), self._live_counting(topic)
        for partition in range(topic.partitions):
            start, end = new.marker(shard, partition), live.marker(shard, partition)
            for batch in self._batches(start, end, partition):
                new.count_in(shard, batch)

    @contextmanager
    def _hold(self, shard: int) -> Iterator[str]:
        token, name = uuid.uuid4().hex, keys.hold(shard)
        if not self._live.client.set(name, token, px=HOLD_MS, nx=True):
            raise NotSwapped("Another rebuild swaps its numbers right now. Try again.")
        try:
            yield token
        finally:
            if self._live.client.get(name) == token.encode():
                self._live.client.delete(name)

    def _run(
        self, shard: int, token: str, pairs: list[tuple[str, str]], dropped: list[str]
    ) -> bool:
        logs = [log.decode() for log in self._live.client.zrange(keys.logs(self._log.topic), 0, -1)]
        markers = [keys.marker(shard, log) for log in logs]
        states = [
            keys.SiteKeys(site, self._live.shards).state
            for site in self._sites
            if keys.shard_of(site, self._live.shards) == shard
        ]
        names = [
            keys.hold(shard),
            *(name for marker in markers for name in (marker, self._shadow.space + marker)),
            *(name for pair in pairs for name in pair),
            *dropped,
            *states,
            keys.steps(shard),
        ]
        counts = [len(logs), len(pairs), len(dropped)]
        remembered = [name for _, name in pairs if f":{keys.VISITS}:" in name]
        steps = [(step_end(int(name.rpartition(":")[2])), name) for name in remembered]
        args = [token, *counts, *(part for step in steps for part in step)]
        return bool(self._script(keys=names, args=args))

    def _wanted_keys(self, shard: int) -> set[str]:
        """The live keys that are to be replaced."""
        return self._wanted(self._scan(f"{keys.tag(shard)}:*"), shard, "")

    def _scan(self, pattern: str) -> Iterator[str]:
        escaped = re.sub(r"([\[\]?\\])", r"\\\1", pattern)
        for name in self._live.client.scan_iter(match=escaped, count=5_000):
            yield name.decode()

    def _wanted(self, names: Collection[str] | Iterator[str], shard: int, space: str) -> set[str]:
        prefix = f"{space}{keys.tag(shard)}:"
        return {
            name.removeprefix(space)
            for name in names
            if name.startswith(prefix) and self._is_wanted(name.removeprefix(prefix))
        }

    def _is_wanted(self, name: str) -> bool:
        site, _, rest = name.partition(":")
        bucket = _BUCKET.fullmatch(rest)
        if site not in self._sites or bucket is None:
            return False
        if self._days is None:
            return True
        day = _day_of(bucket["kind"], int(bucket["bucket"]), self._sites[site].time_zone)
        return day is not None and self._days.first <= day <= self._days.last

    def _differences(self, shard: int, names: set[str]) -> list[Difference]:
        days = [
            (site, number)
            for site in sorted(self._sites)
            for number in _days_among(names, keys.SiteKeys(site, self._live.shards))
        ]
        pipeline = self._live.client.pipeline(transaction=False)
        for site, number in days:
            site_keys = keys.SiteKeys(site, self._live.shards)
            for space in ("", self._shadow.space):
                pipeline.hget(space + site_keys.views(keys.DAY, number), ALL)
                pipeline.pfcount(space + site_keys.visitors(keys.DAY, number))
        found = pipeline.execute()
        rows = [[int(value or 0) for value in found[4 * n : 4 * n + 4]] for n in range(len(days))]
        return [
            Difference(site, number, (row[0], row[2]), (row[1], row[3]))
            for (site, number), row in zip(days, rows, strict=True)
            if row[:2] != row[2:]
        ]


def _day_of(kind: str, bucket: int, time_zone: str) -> int | None:
    """The day of a bucket of history, or of visits that may go on; None for what else goes by
    arrival."""
    if kind == keys.DAY:
        return bucket
    if kind == keys.HOUR:
        return local_hour(time_zone, bucket * 1_000).day
    if kind == keys.MINUTE:
        return local_hour(time_zone, bucket * 60_000).day
    if kind == keys.VISITS:
        return local_hour(time_zone, bucket * STEP_MS).day
    return None


def _days_among(names: set[str], site_keys: keys.SiteKeys) -> list[int]:
    prefix = site_keys.views(keys.DAY, 0).removesuffix("0")
    found = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return sorted({int(rest.partition(":")[0]) for rest in found})


def _chunks(names: Iterator[str], size: int = 1_000) -> Iterator[list[str]]:
    chunk: list[str] = []
    for name in names:
        chunk.append(name)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _now_ms() -> int:
    return int(time.time() * 1_000)


def days_between(first: date, last: date) -> Days:
    return Days(day_number(first), day_number(last))


_no_clock: Callable[[], int] = int
