"""Pathway: its engine decodes and counts; totals that changed go to Redis after each time."""

from typing import Any

import pathway as pw

from bench.peers.views import BROKER, GROUP, TOPIC, Paths, RedisViews, SiteMinute

# How long events wait for others: a shorter one costs throughput, a longer one time to the number.
_COMMIT_MS = 100


class ViewSchema(pw.Schema):
    site: str
    path: str
    ts: int


class ToRedis:
    """Takes the changes of the counts: a total that changes is taken away and a new one added."""

    def __init__(self) -> None:
        self._views = RedisViews()
        self._changed: dict[SiteMinute, Paths] = {}
        self._events = 0

    def change(self, key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        if not is_addition:
            self._events -= row["views"]
            return
        self._events += row["views"]
        self._changed.setdefault((row["site"], row["minute"]), {})[row["path"]] = row["views"]

    def write(self, time: int) -> None:
        if self._changed:
            self._views.put(self._changed, self._events)
            self._changed, self._events = {}, 0


def main() -> None:
    settings = {
        "bootstrap.servers": BROKER,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": "5",
    }
    views = pw.io.kafka.read(
        settings, TOPIC, schema=ViewSchema, format="json", autocommit_duration_ms=_COMMIT_MS
    )
    counts = (
        views.select(pw.this.site, pw.this.path, minute=pw.this.ts // 60_000)
        .groupby(pw.this.site, pw.this.minute, pw.this.path)
        .reduce(pw.this.site, pw.this.minute, pw.this.path, views=pw.reducers.count())
    )
    redis = ToRedis()
    pw.io.subscribe(counts, on_change=redis.change, on_time_end=redis.write)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
