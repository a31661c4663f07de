"""From Kafka's acknowledgement of an event to its number in Redis, at a steady rate."""

import time
from collections.abc import Iterable, Iterator, Sequence
from statistics import quantiles

import redis
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec.structs import replace

from bench.count.layouts import Layout
from bench.count.running import SubjectProcess, running
from bench.count.servers import Servers
from bench.count.subjects import Subject
from bench.logs import LogWriter
from bench.rounds import Measurement
from bench.traffic import page_views
from ingest.pageview import PageView, encode

EVENTS_PER_S = 1_000
_WARM_UP_S = 3
_TICK_S = 0.001
_TIMEOUT_S = 60


class NotCounted(RuntimeError):
    """Raised when events don't come to be counted."""


class Live:
    """Runs subjects each against a new topic of one partition, in which offset n is counted as
    the n-th. The times are as exact as one look at Redis a millisecond allows."""

    def __init__(self, servers: Servers, seconds: int) -> None:
        self._servers = servers
        self._seconds = seconds
        self._number = 0

    def measure(self, subject: Subject) -> Measurement:
        """Milliseconds. Raises `NotCounted`, or `ServerError` when the subject dies."""
        self._number += 1
        topic = f"live-{self._number}"
        pipeline = self._servers.pipeline
        pipeline.empty_store()
        LogWriter(pipeline.bootstrap_servers).make(topic, partitions=1)
        layout = self._servers.layout(subject, topic)
        settings = pipeline.settings(topic)
        with running(subject, settings, 0) as processes, pipeline.client() as client:
            stream = _Stream(pipeline.bootstrap_servers, topic, layout, client, processes)
            stream.send(1, EVENTS_PER_S)
            stream.send(_WARM_UP_S * EVENTS_PER_S, EVENTS_PER_S)
            first = stream.sent
            stream.send(self._seconds * EVENTS_PER_S, EVENTS_PER_S)
        return _summary(stream.latencies_ms()[first:])


class _Stream:
    """Sends events at a rate and looks when each was acknowledged and when it was counted."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        layout: Layout,
        client: redis.Redis,
        processes: list[SubjectProcess],
    ) -> None:
        self._topic = topic
        self._layout = layout
        self._client = client
        self._processes = processes
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "acks": "all", "linger.ms": 0}
        )
        self._traffic = _now(page_views(10**9, 0, 0, retryable=False))
        self._acknowledged: dict[int, float] = {}
        # How many were counted when, whenever it had changed.
        self._counted: list[tuple[int, float]] = [(0, 0.0)]
        self.sent = 0

    def send(self, events: int, per_s: int) -> None:
        """Returns when they are all counted."""
        began, goal = time.monotonic(), self.sent + events
        already = self.sent
        deadline = began + events / per_s + _TIMEOUT_S
        while self._counted[-1][0] < goal:
            due = min(goal, already + 1 + int((time.monotonic() - began) * per_s))
            while self.sent < due:
                self._send_one()
            self._producer.poll(0)
            self._look()
            if time.monotonic() > deadline:
                raise NotCounted(f"{self._counted[-1][0]} of {goal} events were counted.")
            time.sleep(_TICK_S)
        # Its acknowledgement may have been on the way when the last one was counted.
        self._producer.flush(_TIMEOUT_S)

    def latencies_ms(self) -> list[float]:
        """By offset."""
        return latencies_ms([self._acknowledged[n] for n in range(self.sent)], self._counted)

    def _send_one(self) -> None:
        page_view = next(self._traffic)
        self._producer.produce(
            self._topic, encode(page_view), key=page_view.visitor, on_delivery=self._delivered
        )
        self.sent += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        self._acknowledged[message.offset() or 0] = time.monotonic()

    def _look(self) -> None:
        for process in self._processes:
            process.probe_or_die()
        counted = self._layout.counted(self._client)
        if counted > self._counted[-1][0]:
            self._counted.append((counted, time.monotonic()))


def latencies_ms(acknowledged: Sequence[float], looks: Iterable[tuple[int, float]]) -> list[float]:
    """By offset, from its acknowledgement (s) to the first of the looks that found it counted.
    A look is how many were counted, and when (s)."""
    following = iter(looks)
    counted, seen = next(following)
    latencies = []
    for offset, at in enumerate(acknowledged):
        while counted <= offset:
            counted, seen = next(following)
        latencies.append((seen - at) * 1_000)
    return latencies


def _now(page_views: Iterator[PageView]) -> Iterator[PageView]:
    """As if they happened when they are asked for."""
    for page_view in page_views:
        ms = int(time.time() * 1_000)
        yield replace(page_view, ts=ms, received=ms)


def _summary(latencies: list[float]) -> Measurement:
    percentiles = quantiles(latencies, n=100)
    return {"p50": percentiles[49], "p99": percentiles[98], "most": max(latencies)}
