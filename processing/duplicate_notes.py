"""Where duplicates lie, as the store notes it: runs of offsets of one partition, by shard."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from processing import keys

# The first and last offset of each run, in their order.
Runs = list[tuple[int, int]]


def read_runs(members: Iterable[bytes]) -> Runs:
    runs = [tuple(map(int, member.split(b"-"))) for member in members]
    return [(first, last) for first, last in runs]


def is_noted(runs: Runs, offset: int) -> bool:
    at = bisect_left(runs, offset, key=lambda run: run[1])
    return at < len(runs) and runs[at][0] <= offset


class DuplicateNotes:
    """Those of one store. An event that the store has counted is a duplicate exactly if its offset
    is noted."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def among(
        self, shard: int, topic_id: str, partition: int, offsets: Sequence[int]
    ) -> frozenset[int]:
        """Which of the offsets, which are in their order, are noted, by their places."""
        if not offsets:
            return frozenset()
        name, last = keys.duplicates(shard, topic_id, partition), offsets[-1]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.zrange(name, offsets[0], last, byscore=True)
        # A run is found by its end, which may lie behind.
        pipeline.zrange(name, f"({last}", "+inf", byscore=True, offset=0, num=1)
        within, behind = pipeline.execute()
        runs = read_runs([*within, *behind])
        return frozenset(at for at, offset in enumerate(offsets) if is_noted(runs, offset))
