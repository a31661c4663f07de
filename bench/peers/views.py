"""What the Python peers share: the fields they decode, and how they write into Redis.

A peer's numbers are hashes `views:<site>:<minute>`, path → page views; `counted` says how many
events are in them. Whatever a round trip carries is written in that order.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import redis

BROKER = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
TOPIC = os.environ["KAFKA_TOPIC"]
GROUP = os.environ["KAFKA_GROUP"]
COUNTED = "counted"
_KEPT_S = 48 * 3_600
_ANSWER_S = 60

SiteMinute = tuple[str, int]
Paths = dict[str, int]


class View(msgspec.Struct):
    """The fields of a message that are counted by."""

    site: str
    path: str
    ts: int


decode = msgspec.json.Decoder(View).decode


def count(messages: Iterable[bytes]) -> dict[SiteMinute, Paths]:
    """Page views by site and minute, and by path in them."""
    counts: dict[SiteMinute, Paths] = {}
    for message in messages:
        view = decode(message)
        paths = counts.setdefault((view.site, view.ts // 60_000), {})
        paths[view.path] = paths.get(view.path, 0) + 1
    return counts


class RedisViews:
    """Writes counts, many in one round trip."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=_ANSWER_S)

    def add(self, counts: Mapping[SiteMinute, Paths]) -> None:
        """Add to the numbers that are there."""
        pipeline = self._client.pipeline(transaction=False)
        for (site, minute), paths in counts.items():
            key = _key(site, minute)
            for path, views in paths.items():
                pipeline.hincrby(key, path, views)
            pipeline.expireat(key, minute * 60 + _KEPT_S)
        pipeline.incrby(COUNTED, sum(sum(paths.values()) for paths in counts.values()))
        pipeline.execute()

    def put(self, totals: Mapping[SiteMinute, Paths], events: int) -> None:
        """Put totals in the place of those that are there. `events`: how many are new in them."""
        pipeline = self._client.pipeline(transaction=False)
        for (site, minute), paths in totals.items():
            key = _key(site, minute)
            # As redis-py has them typed, which mappings of other types don't fit.
            fields: Any = paths
            pipeline.hset(key, mapping=fields)
            pipeline.expireat(key, minute * 60 + _KEPT_S)
        pipeline.incrby(COUNTED, events)
        pipeline.execute()

    def tell(self, counted: int) -> None:
        """Say how far a peer is that writes no numbers."""
        self._client.set(COUNTED, counted)


def _key(site: str, minute: int) -> str:
    return f"views:{site}:{minute}"
