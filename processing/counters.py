"""The live store's write side: markers, known ids, and the one atomic apply."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from processing import keys
from processing.aggregation import Deltas

APPLIED, MOVED, KNOWN = "applied", "moved", "known"


@dataclass(frozen=True)
class Outcome:
    """What `apply` did. `marker` is the marker found (`moved`) or written (`applied`)."""

    result: str
    marker: int


@dataclass(frozen=True)
class Range:
    """Offsets `expected` … `next` - 1 of one partition of one log."""

    topic_id: str
    partition: int
    expected: int
    next: int


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
    """Reads and moves the markers of all shards of one live store."""

    def __init__(self, client: RedisClient, shards: int) -> None:
        self.client = client
        self.shards = shards
        self._script = client.register_script(
            (resources.files(__package__) / "apply.lua").read_text()
        )

    def markers(self, topic_id: str, partitions: int) -> list[list[int]]:
        """Per shard, the next offset to apply of each partition."""
        pipeline = self.client.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.hmget(keys.marker(shard, topic_id), [str(p) for p in range(partitions)])
        return [[int(offset or 0) for offset in found] for found in pipeline.execute()]

    def known_ids(self, lookups: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
        """Of the fingerprints looked for in each key, those that are there."""
        if not lookups:
            return {}
        pipeline = self.client.pipeline(transaction=False)
        for key, wanted in lookups.items():
            pipeline.smismember(key, list(wanted))
        return {
            key: {mark for mark, there in zip(wanted, found, strict=True) if there}
            for (key, wanted), found in zip(lookups.items(), pipeline.execute(), strict=True)
        }

    def apply(self, shard: int, offsets: Range, deltas: Deltas) -> Outcome:
        """Write all of `deltas` and move the shard's marker, or nothing (SPEC.md §5).

        Raises `redis.RedisError` when it is unknown whether it was written; the marker
        tells.
        """
        names, packed = _pack(shard, offsets, deltas)
        result, detail = self._script(keys=names, args=[packed])
        if result == b"known":
            return Outcome(KNOWN, offsets.expected)
        return Outcome(result.decode(), int(detail))

    def remember_log(self, topic: str, topic_id: str) -> None:
        """Note which log is counted now, for readers."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.set(keys.current_log(topic), topic_id)
        pipeline.zadd(keys.logs(topic), {topic_id: int(time.time() * 1000)}, nx=True)
        pipeline.execute()

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
            pipeline.hset(keys.clock(shard, topic_id), mapping=fields)
        pipeline.execute()

    def forget_ids(self, topic_id: str, partitions: int, margin_ms: int) -> int:
        """Drop the ids that no message still to be read can repeat; returns how many steps.

        A step goes when every partition was read past its end and `margin_ms`, by the
        messages' own arrival times: however long the consumer stood still, a retry in
        the log still finds the id it repeats.
        """
        dropped = 0
        for shard in range(self.shards):
            read_to = self.client.hvals(keys.clock(shard, topic_id))
            if len(read_to) < partitions:
                continue
            before = min(int(ms) for ms in read_to) - margin_ms
            steps = self.client.zrange(keys.id_steps(shard), "-inf", before, byscore=True)
            if steps:
                self.client.unlink(*steps)
                self.client.zrem(keys.id_steps(shard), *steps)
            dropped += len(steps)
        return dropped


def _pack(shard: int, offsets: Range, deltas: Deltas) -> tuple[list[str], bytes]:
    """The KEYS and ARGV[1] of apply.lua."""
    names = [
        keys.marker(shard, offsets.topic_id),
        keys.ledger(shard, offsets.topic_id),
        keys.clock(shard, offsets.topic_id),
        keys.id_steps(shard),
    ]
    numbers: dict[str, int] = {}

    def number(key: str) -> int:
        if key not in numbers:
            names.append(key)
            numbers[key] = len(names)
        return numbers[key]

    packed = msgspec.msgpack.encode(
        {
            "partition": offsets.partition,
            "expected": offsets.expected,
            "next": offsets.next,
            "clock": deltas.clock,
            "ledger": _flat(deltas.ledger.items()),
            "absent": [[number(key), list(marks)] for key, marks in deltas.absent.items()],
            "ids": [[number(key), end, list(marks)] for key, (end, marks) in deltas.ids.items()],
            "hashes": [
                [number(key), deltas.expiries[key], _flat(counts.items())]
                for key, counts in deltas.hashes.items()
            ],
            "visitors": [
                [number(key), deltas.expiries[key], list(seen)]
                for key, seen in deltas.visitors.items()
            ],
            "now": [
                [
                    number(site.now),
                    number(site.now_pages),
                    deltas.gone_before,
                    [value for visitor, seen in people.items() for value in (visitor, *seen)],
                ]
                for site, people in deltas.now.items()
            ],
            "duplicates": [
                [number(keys.duplicates(shard, offsets.topic_id, offsets.partition)), *run]
                for run in deltas.duplicates
            ],
            "states": [[number(site.state), *last] for site, last in deltas.states.items()],
        }
    )
    return names, packed


def _flat(pairs: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for pair in pairs for value in pair]
