"""The producer of a process with threads: librdkafka's.

Requests that arrive within `linger` milliseconds share Kafka's round trip; each is
answered on its own delivery reports (acks=all, idempotent producer).
"""

import logging
import threading
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.delivery import Delivery, KafkaUnavailable, ProducerSettings
from ingest.kafka_security import librdkafka_settings

logger = logging.getLogger(__name__)


class PageViewProducer:
    """One Kafka producer a process, and a thread that takes its delivery reports.

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

    def produce(self, delivery: Delivery) -> None:
        """See `delivery.Producer`. `done` is called in the thread that takes the reports."""
        events, done = len(delivery.messages), delivery.done
        self._reserve(events)

        def finish(settled: Delivery) -> None:
            self._release(events)
            if settled.is_safe:
                self._troubled = False
            done(settled)

        delivery.done = finish
        self._hand_over(delivery)

    def check(self, timeout: float) -> None:
        """Raises `KafkaUnavailable` unless the topic can be written to."""
        name = self._settings.topic
        try:
            # Asked for by its name, a broker may make the topic, with partitions of its choice.
            topics = self._current().list_topics(timeout=timeout).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error
        if name not in topics:
            raise KafkaUnavailable(f"topic {name!r} is missing; run `manage.py create_topics`")
        if (trouble := topics[name].error) is not None:
            raise KafkaUnavailable(f"topic {name!r}: {trouble.str()}")

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
                raise KafkaUnavailable("too many events wait for Kafka already")
            self._events += events
            self._requests += 1

    def _release(self, events: int) -> None:
        with self._lock:
            self._events -= events
            self._requests -= 1

    def _hand_over(self, delivery: Delivery) -> None:
        producer, topic = self._current(), self._settings.topic
        taken = 0
        try:
            for key, value in delivery.messages:
                producer.produce(topic, value, key, on_delivery=partial(_report, delivery, taken))
                taken += 1
        except (BufferError, KafkaException) as error:
            self._replace_after_fatal(producer, error)
            delivery.failed(len(delivery.messages) - taken, str(error))

    def _current(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(
                    {**_configuration(self._settings), "error_cb": self._on_error}
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
            if self._producer is producer and producer is not None:
                self._producer = None
            self._lock.release()


def _configuration(settings: ProducerSettings) -> dict[str, Any]:
    return {
        **librdkafka_settings(settings.bootstrap_servers),
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": settings.linger_ms,
        "message.timeout.ms": settings.timeout_ms,
        "queue.buffering.max.messages": settings.queue_events,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "log_level": 3,
    }


def _report(delivery: Delivery, number: int, error: KafkaError | None, message: Message) -> None:
    if error is not None:
        delivery.failed(1, error.str())
        return
    partition, offset = message.partition(), message.offset()
    # Every message that a broker has acknowledged has both.
    assert partition is not None and offset is not None  # noqa: S101
    delivery.arrived((number,), partition, offset)
