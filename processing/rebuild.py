"""Counts sites, or everything, anew beside the live numbers and then puts the new ones in their
place (SPEC.md §7)."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from importlib import resources

from ingest.models import Site
from processing import keys
from processing.aggregation import EXPIRED, HOLES
from processing.archive_replay import ArchiveReplay
from processing.calendar import day_number, local_hour
from processing.counters import Counters
from processing.counting import Batch, Counting, batches
from processing.dimensions import ALL
from processing.forgotten_list import read_forgotten
from processing.log import Log, Topic
from processing.rules import SiteRules
from processing.site_rules import rules_of
from processing.visits import STEP_MS

# For so long at most the counting of a shard stands still while its numbers are swapped.
HOLD_MS = 10_000
# What was counted beside the live numbers and left alone for so long is dropped by the next
# rebuild: nobody goes on with it, or Redis was turned back to before it was dropped.
ABANDONED_MS = 86_400_000
_BUCKET = re.compile(
    r"(?P<kind>[mhd]|ledger|live|visits):(?P<bucket>\d+)(?P<rest>:v.*)?", re.DOTALL
)


# What a shard has beside its sites' numbers that tells of events, by the word after its tag.
_BOOKS = ("ledger", "duplicates", "ids")


class NotSwapped(RuntimeError):
    """Raised when the live numbers moved on too fast, or the swap took too long; try again."""


class Outdated(NotSwapped):
    """Raised when something was forgotten since the counting began: it has to begin again."""


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


def space_of(
    topic: str, sites: Sequence[Site], days: Days | None, forgotten: int = 0, whole: bool = False
) -> str:
    """Where this rebuild counts: the same for the same sites under the same rules, and the number
    of the last forgetting, so that it goes on after a kill, and never mixes what was counted
    under other ones."""
    rules = [(site.public_id, _digestible(rules_of(site))) for site in sites]
    told = (sorted(rules), days, forgotten, whole)
    digest = blake2b(repr(told).encode(), digest_size=6).hexdigest()
    return f"{_spaces_of(topic)}{digest}:"


def _digestible(rules: SiteRules) -> str:
    """The same text for the same rules, in every process."""
    return repr((rules.time_zone, rules.retention_days, sorted(rules.people)))


def _spaces_of(topic: str) -> str:
    """How the space of every rebuild begins."""
    return f"rebuild:{topic}:"


class Rebuild:
    """One rebuild of `sites`; of all their days, or of `days` only; or, where `whole`, of all that
    there is, with the partitions' ledger, the notes of duplicates and the ids.

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
        whole: bool = False,
    ) -> None:
        self._log = log
        self._replay = replay
        self._shadow = replay.counters
        self._live = live
        self._sites = {site.public_id: site for site in sites}
        self._days = days
        self._rebuilds = keys.rebuilds(log.topic)
        self._whole = whole
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

        Goes on where an earlier try of the same rebuild stopped. Raises `NotSwapped`,
        `RepairWaits`, `LogUnavailable`, `redis.RedisError`: then it is to be called again.
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
        self._pass_over_unplanned(topic)
        # The archive may be ahead, but which of two copies counts is for the live numbers to say.
        self._wait_for_live(topic, current)
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
        new = self._counting(topic)
        self._wait_for_live(topic, {p: new.position(p) for p in range(topic.partitions)})
        shards = {keys.shard_of(site, self._live.shards) for site in self._sites}
        if self._whole:
            shards = set(range(self._live.shards))
        found = [self._swap_shard(topic, shard) for shard in sorted(shards)]
        return [d for differences, _ in found for d in differences], sum(n for _, n in found)

    def lost(self) -> int:
        """How many offsets that were counted can't be read any more: their events will be in no
        number after the swap."""
        new, live = self._unread(self._shadow), self._unread(self._live)
        return sum(max(0, offsets - live[place]) for place, offsets in new.items())

    def clear(self) -> None:
        """Drop what was counted beside the live numbers."""
        self._clear(self._shadow.space)

    def clear_all(self) -> None:
        """The same of every rebuild of the topic, also of those that were stopped."""
        self._unlink(_spaces_of(self._log.topic))
        self._live.client.delete(self._rebuilds)

    def _clear(self, space: str) -> None:
        self._unlink(space)
        self._live.client.zrem(self._rebuilds, space)

    def _unlink(self, begin: str) -> None:
        for names in _chunks(self._scan(f"{begin}*")):
            self._live.client.unlink(*names)

    # --- Counting ---------------------------------------------------------------------

    def _counting(self, topic: Topic) -> Counting:
        return self._replay.counting(topic.id, topic.partitions)

    def _live_counting(self, topic: Topic) -> Counting:
        return Counting(self._live, (), topic.id, topic.partitions, _no_clock)

    def _count_log(self, topic: Topic, counting: Counting) -> Iterator[int]:
        live, starts = self._live_counting(topic), self._log.starts(topic.partitions)
        for partition in range(topic.partitions):
            end = live.position(partition)
            # Neither archived nor in Kafka any more.
            counting.pass_over(partition, min(starts[partition], end), EXPIRED)
            for batch in self._batches(counting.position(partition), end, partition):
                counting.count(batch)
                yield len(batch.offsets)
            # Where the last offsets hold no message, the marker passes over them too.
            counting.pass_over(partition, end, HOLES)

    def _batches(self, start: int, end: int, partition: int) -> Iterator[Batch]:
        """What the log holds from `start` to `end`, with nothing but the wanted sites in it."""
        if start < end:
            for batch in batches(self._log.read(partition, start, end), partition):
                yield batch if self._whole else batch.only(self._sites)

    def _pass_over_unplanned(self, topic: Topic) -> None:
        """What was counted of earlier logs that ended before it was planned to be archived."""
        for log in self._logs():
            if log != topic.id:
                markers = self._live.client.hkeys(keys.marker(0, log))
                partitions = max((int(partition) for partition in markers), default=-1) + 1
                counting = self._replay.counting(log, partitions)
                live = Counting(self._live, (), log, partitions, _no_clock)
                for partition in range(partitions):
                    counting.pass_over(partition, live.position(partition), EXPIRED)

    def _logs(self) -> list[str]:
        return [log.decode() for log in self._live.client.zrange(keys.logs(self._log.topic), 0, -1)]

    def _unread(self, counters: Counters) -> Counter[tuple[str, str]]:
        """By log and partition, the offsets in which nothing could be read; the same in each
        shard."""
        unread: Counter[tuple[str, str]] = Counter()
        for log in self._logs():
            ledger = counters.client.hgetall(counters.space + keys.ledger(0, log))
            for name, offsets in ledger.items():
                partition, _, category = name.decode().partition(":")
                if category in (EXPIRED, HOLES):
                    unread[log, partition] += int(offsets)
        return unread

    def _wait_for_live(self, topic: Topic, offsets: Mapping[int, int]) -> None:
        """Until the live numbers are as far in each partition. Raises `NotSwapped`."""
        deadline = time.monotonic() + 60
        while True:
            live = self._live_counting(topic)
            if all(live.position(partition) >= offset for partition, offset in offsets.items()):
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
            self._confirm_forgotten()
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
            new.pass_over_in(shard, partition, end, HOLES)

    def _confirm_forgotten(self) -> None:
        if read_forgotten().number != self._shadow.forgotten().number:
            raise Outdated("Something was forgotten meanwhile. Start again.")

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
        logs = self._logs()
        markers = [keys.marker(shard, log) for log in logs]
        replaced = {name for _, name in pairs}
        states = [
            keys.SiteKeys(site, self._live.shards).state
            for site in self._sites_among(replaced, shard)
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
        steps = [(may_go, name) for name, may_go in self._steps(shard) if name in replaced]
        args = [token, *counts, *(part for step in steps for part in step)]
        return bool(self._script(keys=names, args=args))

    def _steps(self, shard: int) -> list[tuple[str, int]]:
        """The new keys that are dropped one day, as the live ones are named, and when (ms)."""
        space = self._shadow.space
        found = self._live.client.zrange(space + keys.steps(shard), 0, -1, withscores=True)
        return [(name.decode().removeprefix(space), int(may_go)) for name, may_go in found]

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
        if self._whole:
            return bucket is not None or (site in _BOOKS and bool(rest))
        if site not in self._sites or bucket is None:
            return False
        if self._days is None:
            return True
        day = _day_of(bucket["kind"], int(bucket["bucket"]), self._sites[site].time_zone)
        return day is not None and self._days.first <= day <= self._days.last

    def _sites_among(self, names: Collection[str], shard: int) -> list[str]:
        """The sites of a shard that are rebuilt."""
        if self._whole:
            return sorted({site for site in map(_site_of, names) if site is not None})
        return sorted(s for s in self._sites if keys.shard_of(s, self._live.shards) == shard)

    def _differences(self, shard: int, names: set[str]) -> list[Difference]:
        days = [
            (site, number)
            for site in self._sites_among(names, shard)
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


def _site_of(name: str) -> str | None:
    """Whose number a key of a shard is."""
    site, _, rest = name.partition("}:")[2].partition(":")
    return site if _BUCKET.fullmatch(rest) else None


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
