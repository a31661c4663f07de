"""Puts messages into Kafka and tells when they are safe.

Requests that arrive within `linger` milliseconds share Kafka's round trip; each is
answered on its own delivery reports (acks=all, idempotent producer).
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

logger = logging.getLogger(__name__)


class KafkaUnavailable(RuntimeError):
    """Raised when not every message was acknowledged in time. Those that were are in
    `receipts`, the others are None: they may or may not be in the log."""

    def __init__(self, reason: str, receipts: Sequence["Receipt | None"]) -> None:
        super().__init__(reason)
        self.receipts = receipts


@dataclass(frozen=True)
class Receipt:
    """Where in the log a message is."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}"


@dataclass(frozen=True)
class ProducerSettings:
    """`timeout_ms` bounds the wait for acks; `queue_events` and `waiting_requests` bound
    the memory while Kafka is slow or away."""

    bootstrap_servers: str
    topic: str
    linger_ms: int
    timeout_ms: int
    queue_events: int
    waiting_requests: int

    def librdkafka(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": self.linger_ms,
            "message.timeout.ms": self.timeout_ms,
            "queue.buffering.max.messages": self.queue_events,
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            "log_level": 3,
        }


class _Waiting:
    """The messages of one request on their way."""

    def __init__(self, messages: int) -> None:
        self.receipts: list[Receipt | None] = [None] * messages
        self.error: KafkaError | None = None
        self._left = messages
        self._done = threading.Event()

    def report(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.receipts[number] = Receipt(message.partition() or 0, message.offset() or 0)
        else:
            self.error = error
        self._left -= 1
        if self._left == 0:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


class PageViewProducer:
    """One Kafka producer a process and the thread that takes its delivery reports.

    Thread-safe. A producer that met a fatal error is replaced by a new one.
    """

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._closed = False
        # Whether the log already says that Kafka is in trouble; cleared by the next ack.
        self._troubled = False
        self._events = 0
        self._requests = 0

    def send(self, messages: Sequence[tuple[str, bytes]]) -> list[Receipt]:
        """Put (key, value) messages into the topic; returns when all are acknowledged.

        Raises `KafkaUnavailable` when one of them is not within the timeout, or at once
        when too many wait already; then nothing was sent.
        """
        self._reserve(len(messages))
        try:
            waiting = self._produce(messages)
            answered = waiting.wait(self._settings.timeout_ms / 1000 + 2)
        finally:
            self._release(len(messages))
        receipts = [receipt for receipt in waiting.receipts if receipt is not None]
        if len(receipts) == len(messages):
            self._troubled = False
            return receipts
        reason = waiting.error.str() if waiting.error else "no answer" if not answered else "lost"
        raise KafkaUnavailable(f"Kafka did not acknowledge in time: {reason}", waiting.receipts)

    def check(self, timeout: float) -> None:
        """Raises `KafkaUnavailable` unless the topic can be written to."""
        name = self._settings.topic
        try:
            # Asked for by its name, a broker may make the topic, with partitions of its choice.
            topics = self._current().list_topics(timeout=timeout).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka does not answer: {error.args[0].str()}", ()) from error
        if name not in topics:
            raise KafkaUnavailable(f"topic {name!r} is missing; run `manage.py create_topics`", ())
        if (trouble := topics[name].error) is not None:
            raise KafkaUnavailable(f"topic {name!r}: {trouble.str()}", ())

    def close(self) -> None:
        """Wait for what is on its way, then stop."""
        self._closed = True
        if self._producer is not None:
            self._producer.flush(self._settings.timeout_ms / 1000)
            self._replace(self._producer)

    def _reserve(self, events: int) -> None:
        with self._lock:
            full = (
                self._events + events > self._settings.queue_events
                or self._requests >= self._settings.waiting_requests
            )
            if full or self._closed:
                raise KafkaUnavailable("too many events wait for Kafka already", [None] * events)
            self._events += events
            self._requests += 1

    def _release(self, events: int) -> None:
        with self._lock:
            self._events -= events
            self._requests -= 1

    def _produce(self, messages: Sequence[tuple[str, bytes]]) -> _Waiting:
        producer = self._current()
        waiting = _Waiting(len(messages))
        for number, (key, value) in enumerate(messages):

            def report(error: KafkaError | None, message: Message, number: int = number) -> None:
                waiting.report(number, error, message)

            try:
                producer.produce(self._settings.topic, key=key, value=value, on_delivery=report)
            except (BufferError, KafkaException) as error:
                self._replace_after_fatal(producer, error)
                raise KafkaUnavailable(f"Kafka can't take it: {error}", waiting.receipts) from error
        return waiting

    def _current(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(
                    {**self._settings.librdkafka(), "error_cb": self._on_error}
                )
                threading.Thread(
                    target=self._serve_reports,
                    args=(self._producer,),
                    name="kafka-reports",
                    daemon=True,
                ).start()
            return self._producer

    def _serve_reports(self, producer: Producer) -> None:
        while producer is self._producer or len(producer):
            producer.poll(0.5)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            logger.error("Kafka's producer met a fatal error and is replaced: %s", error.str())
            self._replace(self._producer)
        elif not self._troubled:
            self._troubled = True
            logger.warning("Kafka is in trouble, requests may get 503: %s", error.str())

    def _replace_after_fatal(self, producer: Producer, error: Exception) -> None:
        if error.args and isinstance(error.args[0], KafkaError) and error.args[0].fatal():
            self._replace(producer)

    def _replace(self, producer: Producer | None) -> None:
        """Let the next request make a new producer."""
        if self._lock.acquire(timeout=1):
            if self._producer is producer:
                self._producer = None
            self._lock.release()
