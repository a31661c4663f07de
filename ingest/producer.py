"""Puts messages into Kafka and tells when they are safe.

Requests that arrive within `linger` milliseconds share Kafka's round trip; each is
answered on its own delivery reports (acks=all, idempotent producer).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

logger = logging.getLogger(__name__)


class KafkaUnavailable(RuntimeError):
    """Raised when not every message was acknowledged in time. Those that were are in
    `receipts`, the others are None: they may or may not be in the log."""

    def __init__(self, reason: str, receipts: Sequence["Receipt | None"]) -> None:
        super().__init__(reason)
        self.receipts = receipts


class Receipt(NamedTuple):
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


# Requests and the thread that takes the reports meet in a `Delivery`, for nanoseconds.
_finishing = threading.Lock()


class Delivery:
    """The messages of one request on their way; `done` is called once all are reported."""

    __slots__ = ("_done", "_left", "error", "receipts")

    def __init__(self, messages: int, done: Callable[["Delivery"], None]) -> None:
        # In the order of the messages; None: it may or may not be in the log.
        self.receipts: list[Receipt | None] = [None] * messages
        self.error = ""
        self._left = messages
        self._done = done

    def report(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.receipts[number] = _receipt(message)
        else:
            self.error = error.str()
        with _finishing:
            self._left -= 1
            if self._left:
                return
        self._done(self)

    def report_only(self, error: KafkaError | None, message: Message) -> None:
        """The same for a request of one message."""
        if error is None:
            self.receipts[0] = _receipt(message)
        else:
            self.error = error.str()
        self._done(self)

    def give_up(self, messages: int, reason: str) -> None:
        """The last `messages` were not taken; nothing will be reported of them."""
        self.error = reason
        with _finishing:
            self._left -= messages
            if self._left:
                return
        self._done(self)

    def unavailable(self) -> "KafkaUnavailable | None":
        """None when every message is safe."""
        if None not in self.receipts:
            return None
        return KafkaUnavailable(
            f"Kafka did not acknowledge in time: {self.error or 'no answer'}", self.receipts
        )


def _receipt(message: Message) -> Receipt:
    partition, offset = message.partition(), message.offset()
    # Every message that a broker has acknowledged has both.
    assert partition is not None and offset is not None  # noqa: S101
    return Receipt(partition, offset)


class PageViewProducer:
    """One Kafka producer a process. Its delivery reports are taken by a thread, or by whoever
    calls `poll`, if that was said.

    Thread-safe. A producer that met a fatal error is replaced by a new one.
    """

    def __init__(self, settings: ProducerSettings, own_thread: bool = True) -> None:
        self._settings = settings
        self._own_thread = own_thread
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        # Those that were replaced and still have reports to give.
        self._leaving: list[Producer] = []
        self._closed = False
        # Whether the log already says that Kafka is in trouble; cleared by the next ack.
        self._troubled = False
        self._events = 0
        self._requests = 0
        # Called when reports begin to be awaited; whoever polls sets it.
        self.on_waiting: Callable[[], None] = lambda: None

    @property
    def waiting(self) -> int:
        """Events whose delivery is not reported yet."""
        return self._events

    def produce(
        self, messages: Sequence[tuple[str, bytes]], done: Callable[[Delivery], None]
    ) -> Delivery:
        """Put (key, value) messages into the topic; `done` is called from where the reports are
        taken, at the latest after the timeout.

        Raises `KafkaUnavailable` at once when too many wait already; then nothing was sent.
        """
        self._reserve(len(messages))

        def finish(delivery: Delivery) -> None:
            self._release(len(messages))
            if not delivery.error:
                self._troubled = False
            done(delivery)

        delivery = Delivery(len(messages), finish)
        self._hand_over(messages, delivery)
        if self._requests == 1:
            self.on_waiting()
        return delivery

    def send(self, messages: Sequence[tuple[str, bytes]]) -> list[Receipt]:
        """The same, but returns when all are acknowledged.

        Raises `KafkaUnavailable` also when one of them is not within the timeout.
        """
        reported = threading.Event()
        delivery = self.produce(messages, lambda _: reported.set())
        reported.wait(self._settings.timeout_ms / 1000 + 2)
        if (trouble := delivery.unavailable()) is not None:
            raise trouble
        return [receipt for receipt in delivery.receipts if receipt is not None]

    def poll(self) -> None:
        """Take the reports there are, without waiting."""
        producer = self._producer
        if producer is not None:
            producer.poll(0)
        for leaving in self._leaving:
            leaving.poll(0)
        if self._leaving:
            self._leaving = [producer for producer in self._leaving if len(producer)]

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

    def _hand_over(self, messages: Sequence[tuple[str, bytes]], delivery: Delivery) -> None:
        producer, topic = self._current(), self._settings.topic
        if len(messages) == 1:
            reports: Iterable[Callable[..., None]] = (delivery.report_only,)
        else:
            reports = (partial(delivery.report, number) for number in range(len(messages)))
        taken = 0
        try:
            for (key, value), report in zip(messages, reports, strict=True):
                producer.produce(topic, value, key, on_delivery=report)
                taken += 1
        except (BufferError, KafkaException) as error:
            self._replace_after_fatal(producer, error)
            delivery.give_up(len(messages) - taken, str(error))

    def _current(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(
                    {**self._settings.librdkafka(), "error_cb": self._on_error}
                )
                if self._own_thread:
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
            if self._producer is producer and producer is not None:
                self._producer = None
                if not self._own_thread:
                    self._leaving.append(producer)
            self._lock.release()
