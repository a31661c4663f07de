"""Holds what a subject wrote against the truth."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import redis

from bench.count.layouts import Layout
from bench.count.truth import Truth

# Five standard errors of Redis' HyperLogLog: among so many keys one in a million is by chance.
_VISITORS_ERROR = 5 * 0.0081
# Of a page's visitors some share a register: of 73 three did, on one of forty thousand pages. The
# fewer they are, the fewer do.
_FEW_VISITORS = 5
_AT_ONCE = 200
Item = TypeVar("Item")


def differences(client: redis.Redis, layout: Layout, truth: Truth) -> Iterator[str]:
    """A sentence for each thing that is not as it has to be."""
    counted = layout.counted(client)
    if counted != truth.events:
        yield f"{counted:,} events were counted, not {truth.events:,}"
    expected = dict(layout.hashes(truth))
    yield from _hashes(client, expected, layout)
    yield from _visitors(client, layout.visitors(truth))
    for pattern in layout.patterns:
        for name in client.scan_iter(pattern, count=10_000, _type="HASH"):
            if name.decode() not in expected:
                yield f"{name.decode()} should not be there"


def _hashes(
    client: redis.Redis, expected: Mapping[str, Mapping[str, int]], layout: Layout
) -> Iterator[str]:
    for some in _chunks(expected.items()):
        pipeline = client.pipeline(transaction=False)
        for name, _ in some:
            pipeline.hgetall(name)
        for (name, counts), found in zip(some, pipeline.execute(), strict=True):
            named = {field.decode(): int(views) for field, views in found.items()}
            there = {field: views for field, views in named.items() if layout.is_told(field)}
            if there != counts:
                yield f"{name} {_difference(there, counts)}"


def _visitors(client: redis.Redis, expected: Iterable[tuple[str, int]]) -> Iterator[str]:
    for name, visitors in expected:
        found: Any = client.pfcount(name)
        few = min(_FEW_VISITORS, 2 + visitors // 25)
        if abs(found - visitors) > max(few, _VISITORS_ERROR * visitors):
            yield f"{name} has {found:,} visitors, not about {visitors:,}"


def _difference(there: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """The first of a hash's fields that is wrong."""
    field = min(f for f in {*there, *expected} if there.get(f) != expected.get(f))
    return f"has {there.get(field)} for {field}, not {expected.get(field)}"


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
