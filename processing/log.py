"""The log: what can be asked of a Kafka topic without joining a consumer group."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from django.conf import settings

from ingest.kafka_security import librdkafka_settings

_LEADER_CHANGES = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    # "Failed to query partition leaders": the client's own word for none at all.
    KafkaError._NOENT,
)


class LogUnavailable(RuntimeError):
    """Raised when Kafka does not answer or the topic does not exist; try again later."""


class NoSuchTopic(LogUnavailable):
    """Raised when Kafka answers that it has no such topic: none yet, or none any more."""


@dataclass(frozen=True)
class Topic:
    """A topic as it is now. `id` is Kafka's topic id in Kafka's own notation (22 URL-safe
    base64 characters): a topic deleted and made again has another one."""

    name: str
    id: str
    partitions: int


class Log:
    """Asks the broker about one topic; every call raises `LogUnavailable` after `timeout` s."""

    def __init__(self, bootstrap_servers: str, topic: str, timeout: float = 10.0) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.topic = topic
        self.timeout = timeout
        self._admin = AdminClient(
            {
                **librdkafka_settings(bootstrap_servers),
                "log_level": 3,
                "reconnect.backoff.max.ms": 1000,
            }
        )

    def describe(self) -> Topic:
        """The topic's id and size, from the broker itself, never from a cache."""
        future = self._admin.describe_topics(
            TopicCollection([self.topic]), request_timeout=self.timeout
        )[self.topic]
        try:
            description = future.result(timeout=self.timeout + 1)
        except (KafkaException, TimeoutError) as error:
            kind = NoSuchTopic if _lacks_topic(error) else LogUnavailable
            raise kind(f"topic {self.topic!r} can't be described: {error}") from error
        return Topic(self.topic, _topic_id(description.topic_id), len(description.partitions))

    def starts(self, partitions: int) -> dict[int, int]:
        """The first offset that each partition still holds."""
        return self._offsets(partitions, OffsetSpec.earliest())

    def ends(self, partitions: int) -> dict[int, int]:
        """The offset that each partition's next message will get.

        Taken from a fetch, not from ListOffsets alone: the embedded broker answers the latter
        with the start of the last batch.
        """
        latest = self._offsets(partitions, OffsetSpec.latest())
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(self.topic, p, o) for p, o in latest.items()])
            return self._read_to_ends(consumer, partitions)
        finally:
            consumer.close()

    def message(self, partition: int, offset: int) -> Message | None:
        """The message at `offset`; None where there is none: it has expired, is not written
        yet, or never was one."""
        latest = self._offsets(partition + 1, OffsetSpec.latest())[partition]
        consumer = self._consumer()
        try:
            # From an offset beyond its end the embedded broker answers nothing at all.
            consumer.assign([TopicPartition(self.topic, partition, min(offset, latest))])
            return self._read_one(consumer, offset)
        finally:
            consumer.close()

    def _read_one(self, consumer: Consumer, offset: int) -> Message | None:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is None:
                continue
            if _is_end(message) or _is_out_of_range(message):
                return None
            if _offset(message) >= offset:
                return message if message.offset() == offset else None
        raise LogUnavailable(f"no message of {self.topic!r} within {self.timeout:.0f} s")

    def read(self, partition: int, start: int, end: int) -> Iterator[Message]:
        """Every message of `partition` with `start` <= offset < `end`, in order.

        Never less: raises `LogUnavailable`, perhaps after some messages, when a part of the
        range has expired or is not in the log yet. Offsets that hold no message (left by
        transactions or compaction) are passed over.
        """
        if start >= end:
            return
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(self.topic, partition, start)])
            yield from self._read_range(consumer, end)
        finally:
            consumer.close()

    def _read_range(self, consumer: Consumer, end: int) -> Iterator[Message]:
        deadline = time.monotonic() + self.timeout
        while True:
            # `consume` waits for all it was asked for or the timeout, even at the log's end.
            for message in consumer.consume(10_000, timeout=0.1):
                if _is_end(message):
                    self._require_end(message, end)
                    return
                offset = _offset(message)
                if offset < end:
                    yield message
                if offset >= end - 1:
                    return
                deadline = time.monotonic() + self.timeout
            if time.monotonic() > deadline:
                raise LogUnavailable(f"no message of {self.topic!r} within {self.timeout:.0f} s")

    def _require_end(self, message: Message, end: int) -> None:
        """`message` tells the partition's end; it must not lie before `end`."""
        log_end = message.offset() or 0
        if log_end < end:
            raise LogUnavailable(
                f"partition {message.partition()} of {self.topic!r} ends at offset {log_end}, "
                f"{end} was asked for: it was cut, or the broker is not up to date"
            )

    def _read_to_ends(self, consumer: Consumer, partitions: int) -> dict[int, int]:
        """One fetch of each partition tells its end: where there is traffic, reading on until
        nothing is left might take for ever."""
        ends: dict[int, int] = {}
        deadline = time.monotonic() + self.timeout
        while len(ends) < partitions:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"the ends of {self.topic!r} were not read in time")
            for message in consumer.consume(1_000, timeout=0.1):
                partition = message.partition() or 0
                if _is_end(message):
                    ends[partition] = message.offset() or 0
                else:
                    fetched = TopicPartition(self.topic, partition)
                    _, high = consumer.get_watermark_offsets(fetched, cached=True)
                    ends[partition] = max(_offset(message) + 1, int(high))
        return ends

    def _offsets(self, partitions: int, spec: OffsetSpec) -> dict[int, int]:
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return self._ask_offsets(partitions, spec)
            except (KafkaException, TimeoutError) as error:
                if not _lacks_leader(error) or time.monotonic() > deadline:
                    raise LogUnavailable(
                        f"the offsets of {self.topic!r} can't be read: {error}"
                    ) from error
            time.sleep(0.05)

    def _ask_offsets(self, partitions: int, spec: OffsetSpec) -> dict[int, int]:
        futures = self._admin.list_offsets(
            {TopicPartition(self.topic, p): spec for p in range(partitions)},
            request_timeout=self.timeout,
        )
        return {
            tp.partition: future.result(timeout=self.timeout + 1).offset
            for tp, future in futures.items()
        }

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **librdkafka_settings(self.bootstrap_servers),
                # It never joins; brokers with access rights have to know the name.
                "group.id": settings.KAFKA_GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 5,
                "log_level": 3,
            }
        )


def _lacks_leader(error: Exception) -> bool:
    """Whether a partition's leader is about to change: also in a topic just made, where
    Apache Kafka answered so to 37 of 150 first questions, and rightly 25 ms later."""
    return _code(error) in _LEADER_CHANGES


def _lacks_topic(error: Exception) -> bool:
    return _code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART


def _code(error: Exception) -> int | None:
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return error.args[0].code()
    return None


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _is_out_of_range(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() in (
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
    )


def _offset(message: Message) -> int:
    """Raises `LogUnavailable` for what is no message but an error."""
    if message.error():
        raise LogUnavailable(str(message.error()))
    return message.offset() or 0


def _topic_id(uuid: Any) -> str:
    most, least = uuid.get_most_significant_bits(), uuid.get_least_significant_bits()
    value = ((most & (2**64 - 1)) << 64) | (least & (2**64 - 1))
    return urlsafe_b64encode(value.to_bytes(16, "big")).decode().rstrip("=")
