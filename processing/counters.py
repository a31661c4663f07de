"""The live store's write side: markers, known ids, and the one atomic apply."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from processing import keys
from processing.deltas import Deltas, Known, Lookups, Places
from processing.forgotten import ForgottenUpTo, nothing_forgotten

APPLIED, MOVED, KNOWN, HELD = "applied", "moved", "known", "held"


@dataclass(frozen=True)
class Outcome:
    """What `apply` did. `marker` is what was found of `partition` (`moved`), `key` what held
    something that was taken for absent (`known`)."""

    result: str
    partition: int = 0
    marker: int = 0
    key: str = ""


@dataclass(frozen=True)
class Range:
    """Offsets `expected` … `next` - 1 of one partition."""

    partition: int
    expected: int
    next: int


_decode_texts = msgspec.msgpack.Decoder(list[list[str]]).decode

# redis-py types its answers as unions over clients that do and don't decode.
RedisClient = Any


def connect(url: str, timeout: float = 10) -> RedisClient:
    """A client that fails within `timeout` seconds and never repeats a command by itself:
    whether a command that timed out was carried out is for the caller to find out."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout, 3),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
    )


class Counters:
    """Reads and moves the markers of all shards of one live store.

    `space` begins the name of every key that `apply` touches: the live numbers have none,
    what is counted beside them (`Rebuild`) has its own. `forgotten` tells what must not be
    counted.
    """

    def __init__(
        self,
        client: RedisClient,
        shards: int,
        space: str = "",
        forgotten: ForgottenUpTo = nothing_forgotten,
    ) -> None:
        self.client = client
        self.shards = shards
        self.space = space
        self.forgotten = forgotten
        # While it is a set, the names of all keys that `apply` writes are added to it.
        self.touched: set[str] | None = None
        self._script = client.register_script(_lua("apply"))
        self._lookup = client.register_script(_lua("lookup"))

    def markers(self, topic_id: str, partitions: int) -> list[list[int]]:
        """Per shard, the next offset to apply of each partition."""
        pipeline = self.client.pipeline(transaction=False)
        for shard in range(self.shards):
            marker = self.space + keys.marker(shard, topic_id)
            pipeline.hmget(marker, [str(p) for p in range(partitions)])
        return [[int(offset or 0) for offset in found] for found in pipeline.execute()]

    def look_up(self, wanted: Lookups) -> Known:
        """What of it is there. All keys are of one shard."""
        places = [(key, visitors) for visitors, keys in wanted.visits for key in keys]
        names = [self.space + key for key in (*wanted.ids, *(key for key, _ in places))]
        if not names:
            return Known()
        # Packed as one argument: redis-py takes 0.3 µs for each id that is one of its own, and
        # more for each that is answered.
        ids = msgspec.msgpack.encode(list(wanted.ids.values()))
        visits = msgspec.msgpack.encode([(people, len(keys)) for people, keys in wanted.visits])
        found = _decode_texts(self._lookup(keys=names, args=[ids, visits]))
        known = Known({key: set(marks) for key, marks in zip(wanted.ids, found, strict=False)})
        for (key, visitors), texts in zip(places, found[len(wanted.ids) :], strict=True):
            # None at all where there is no such key.
            known.visits.setdefault(key, {}).update(zip(visitors, texts, strict=False))
        return known

    def apply(self, shard: int, topic_id: str, ranges: Sequence[Range], deltas: Deltas) -> Outcome:
        """Write all of `deltas` and move the shard's markers over `ranges`, or nothing
        (SPEC.md §5).

        Raises `redis.RedisError` when it is unknown whether it was written; the markers
        tell.
        """
        names, packed = _pack(shard, topic_id, ranges, deltas)
        names = [self.space + name for name in names]
        if self.touched is not None:
            self.touched.update(names, _page_keys(self.space, deltas))
        result, *details = self._script(keys=names, args=[packed])
        if result == b"moved":
            partition, marker = map(int, details)
            return Outcome(MOVED, partition, marker)
        if result == b"known":
            return Outcome(KNOWN, key=details[0].decode())
        return Outcome(result.decode())

    def knows_log(self, topic: str, topic_id: str) -> bool:
        """Whether `remember_log` was the last one; not in a store that was emptied since."""
        return bool(self.client.get(keys.current_log(topic)) == topic_id.encode())

    def has_logs(self, topic: str) -> bool:
        """Whether anything of the topic was ever counted into this store."""
        return bool(self.client.exists(keys.logs(topic)))

    def remember_log(self, topic: str, topic_id: str) -> None:
        """Note which log is counted now, for readers."""
        self.remember_earlier_log(topic, topic_id)
        self.client.set(keys.current_log(topic), topic_id)

    def remember_earlier_log(self, topic: str, topic_id: str) -> None:
        self.client.zadd(keys.logs(topic), {topic_id: int(time.time() * 1000)}, nx=True)

    def begin_rebuilding(self, topic: str, goals: Mapping[tuple[str, int], int]) -> None:
        """Publish up to which offset each partition of each log is to be counted again."""
        fields = {f"{topic_id}:{partition}": end for (topic_id, partition), end in goals.items()}
        self.client.hset(keys.rebuilding(topic), mapping={**fields, "total": sum(goals.values())})

    def rebuilding(self, topic: str, topic_id: str) -> dict[int, int]:
        """The goals of one log that are not reached yet, by partition."""
        found = self.client.hgetall(keys.rebuilding(topic))
        goals = {tuple(name.decode().split(":")): int(goal) for name, goal in found.items()}
        return {int(name[1]): goal for name, goal in goals.items() if name[0] == topic_id}

    def rebuilt(self, topic: str, topic_id: str, partitions: Iterable[int]) -> None:
        """Note that these goals are reached; with the last one the rebuilding is over."""
        name = keys.rebuilding(topic)
        fields = [f"{topic_id}:{partition}" for partition in partitions]
        if fields and self.client.hdel(name, *fields) and self.client.hlen(name) == 1:
            self.client.delete(name)

    def report(self, topic_id: str, reports: Mapping[int, Mapping[str, Any]]) -> None:
        """Publish the state of partitions for readers of `as_of` and the ledger."""
        if reports:
            fields = {str(p): msgspec.json.encode(report) for p, report in reports.items()}
            self.client.hset(keys.status(topic_id), mapping=fields)

    def advance_clocks(self, topic_id: str, partitions: Iterable[int], read_to_ms: int) -> None:
        """Note that idle partitions were read to their ends at `read_to_ms`."""
        fields = {str(partition): read_to_ms for partition in partitions}
        if not fields:
            return
        pipeline = self.client.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.hset(self.space + keys.clock(shard, topic_id), mapping=fields)
        pipeline.execute()

    def forget_steps(self, topic_id: str, partitions: int, margin_ms: int) -> int:
        """Drop the ids that no message still to be read can repeat, and the visits with which
        none can go on; returns how many steps.

        A step goes when every partition was read past its end and `margin_ms`, by the
        messages' own arrival times: however long the consumer stood still, a retry in
        the log still finds the id it repeats.
        """
        dropped = 0
        for shard in range(self.shards):
            read_to = self.client.hvals(self.space + keys.clock(shard, topic_id))
            if len(read_to) < partitions:
                continue
            before = min(int(ms) for ms in read_to) - margin_ms
            known = self.space + keys.steps(shard)
            steps = self.client.zrange(known, "-inf", before, byscore=True)
            if steps:
                self.client.unlink(*steps)
                self.client.zrem(known, *steps)
            dropped += len(steps)
        return dropped


def _lua(name: str) -> str:
    return (resources.files(__package__) / f"{name}.lua").read_text()


class _Names:
    """The KEYS of apply.lua, which ARGV[1] names by number."""

    def __init__(self, shard: int, topic_id: str) -> None:
        self.all = [
            keys.marker(shard, topic_id),
            keys.ledger(shard, topic_id),
            keys.clock(shard, topic_id),
            keys.steps(shard),
            keys.hold(shard),
        ]
        self._numbers: dict[str, int] = {}

    def number(self, key: str) -> int:
        if key not in self._numbers:
            self.all.append(key)
            self._numbers[key] = len(self.all)
        return self._numbers[key]

    def numbers_of(self, places: Places) -> list[int]:
        return _flat((self.number(key), expiry) for key, expiry in places)


def _pack(
    shard: int, topic_id: str, ranges: Sequence[Range], deltas: Deltas
) -> tuple[list[str], bytes]:
    """The KEYS and ARGV[1] of apply.lua."""
    names = _Names(shard, topic_id)
    number, numbers_of = names.number, names.numbers_of

    def pack_range(offsets: Range) -> list[Any]:
        partition = offsets.partition
        runs = deltas.duplicates.get(partition, [])
        return [
            str(partition),
            offsets.expected,
            offsets.next,
            deltas.clocks.get(partition, 0),
            _flat(deltas.ledger.get(partition, {}).items()),
            number(keys.duplicates(shard, topic_id, partition)) if runs else 0,
            runs,
        ]

    packed = msgspec.msgpack.encode(
        {
            "ranges": list(map(pack_range, ranges)),
            "absent": [[number(key), list(marks)] for key, marks in deltas.absent.items()],
            "ids": [[number(key), end, list(marks)] for key, (end, marks) in deltas.ids.items()],
            "most": deltas.most_values,
            "buckets": [
                [numbers_of(places), list(fields), list(fields.values())]
                for places, fields in deltas.buckets
            ],
            "hashes": [
                [number(key), expiry, _flat(counts.items())]
                for key, (expiry, counts) in deltas.hashes.items()
            ],
            "visitors": [[numbers_of(places), list(seen)] for places, seen in deltas.visitors],
            "pages": [
                [number(bucket), expiry, list(pages), list(pages.values())]
                for (bucket, expiry), pages in deltas.page_visitors
            ],
            "visits": [
                [number(key), end, triples[::3], triples[1::3], triples[2::3]]
                for key, end, triples in deltas.visits
            ],
            "now": [
                [
                    *map(number, (site.now_pages, site.now_sources, site.now_countries)),
                    number(site.now),
                    deltas.gone_before,
                    list(people),
                    *zip(*people.values(), strict=True),
                ]
                for site, people in deltas.now.items()
            ],
            "feed": [[number(site.feed), _flat(events)] for site, events in deltas.feed.items()],
            "states": [[number(site.state), *last] for site, last in deltas.states.items()],
        }
    )
    return names.all, packed


def _page_keys(space: str, deltas: Deltas) -> Iterator[str]:
    """Those that apply.lua names itself."""
    for (bucket, _), pages in deltas.page_visitors:
        for page in pages:
            yield space + keys.visitors_of(bucket, page)


def _flat(pairs: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for pair in pairs for value in pair]
