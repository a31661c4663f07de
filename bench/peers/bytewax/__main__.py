"""bytewax: totals are its state and go to Redis. The events come to them counted, a batch at once;
with BYTEWAX_EACH=1 one by one, as its guides begin.
"""

import os
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from bench.peers.views import BROKER, TOPIC, Paths, RedisViews, SiteMinute, count

_BATCH = 10_000
# Which totals a batch of events has changed, and by how many events.
Changed = tuple[SiteMinute, Paths, int]
Keyed = tuple[str, tuple[SiteMinute, Paths]]


def count_batch(messages: list[Any]) -> Iterable[Keyed]:
    counts = count(message.value for message in messages)
    for place, paths in counts.items():
        yield f"{place[0]} {place[1]}", (place, paths)


def count_one(message: Any) -> Keyed:
    ((place, paths),) = count([message.value]).items()
    return f"{place[0]} {place[1]}", (place, paths)


def accumulate(totals: Paths | None, news: tuple[SiteMinute, Paths]) -> tuple[Paths, Changed]:
    """The state of a site's minute, and what of it is new."""
    place, paths = news
    totals = totals or {}
    for path, views in paths.items():
        totals[path] = totals.get(path, 0) + views
    return totals, (place, {path: totals[path] for path in paths}, sum(paths.values()))


class RedisSink(DynamicSink[tuple[str, Changed]]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_RedisPartition":
        return _RedisPartition()


class _RedisPartition(StatelessSinkPartition[tuple[str, Changed]]):
    def __init__(self) -> None:
        self._views = RedisViews()

    def write_batch(self, items: list[tuple[str, Changed]]) -> None:
        totals: dict[SiteMinute, Paths] = {}
        for _, (place, paths, _) in items:
            totals.setdefault(place, {}).update(paths)
        self._views.put(totals, sum(events for _, (_, _, events) in items))


def dataflow() -> Dataflow:
    flow = Dataflow("page_views")
    source = KafkaSource(
        [BROKER], [TOPIC], batch_size=_BATCH, add_config={"fetch.queue.backoff.ms": "5"}
    )
    messages = op.input("kafka", flow, source)
    if os.environ.get("BYTEWAX_EACH") == "1":
        counts = op.map("count", messages, count_one)
    else:
        counts = op.flat_map_batch("count", messages, count_batch)
    op.output("redis", op.stateful_map("totals", counts, accumulate), RedisSink())
    return flow


if __name__ == "__main__":
    cli_main(dataflow())
