"""Topics full of page views."""

from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.pageview import PageView, encode

_TIMEOUT_S = 20
_FLUSH_S = 120


class NotFilled(RuntimeError):
    """Raised when the broker did not take every event."""


class LogWriter:
    """Makes topics in one broker and writes page views into them."""

    def __init__(self, bootstrap_servers: str) -> None:
        broker: dict[str, Any] = {"bootstrap.servers": bootstrap_servers}
        self._admin = AdminClient(broker)
        self._producer = Producer(
            {**broker, "linger.ms": 50, "queue.buffering.max.messages": 500_000}
        )

    def make(self, topic: str, partitions: int) -> None:
        self._admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(_TIMEOUT_S)

    def write(self, topic: str, page_view: PageView) -> None:
        """Waits while the queue is full."""
        while True:
            try:
                self._producer.produce(topic, encode(page_view), key=page_view.visitor)
                return
            except BufferError:
                self._producer.poll(0.1)

    def finish(self) -> None:
        """Raises `NotFilled`."""
        if left := self._producer.flush(_FLUSH_S):
            raise NotFilled(f"{left} events were not taken by Kafka.")
