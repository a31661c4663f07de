"""Dead letters, read again and put back into the log (SPEC.md §14).

A replayed letter counts once, however often it is replayed and wherever that is killed:
each try sends the same retryable event id, long after it happened, so that all tries but
one are duplicates for `BACKFILL_DUPLICATE_WINDOW_DAYS`. What was sent is written down before
and after, and a try that was cut off and is older than the window is never repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaException, Message, Producer
from django.conf import settings

from ingest.kafka_security import librdkafka_settings
from ingest.pageview import PageView, UndecodableMessage, decode, encode
from processing.duplicates import DuplicateWindows
from processing.forgotten_list import read_forgotten
from processing.log import Log, LogUnavailable
from processing.models import Replay

# Time for what is sent to be read: the end of the window is not used up to the last.
_MARGIN = timedelta(days=1)
# Characters of an event's id, as the message has it.
_MOST_ID = 200


class NotReplayed(ValueError):
    """Raised for a letter that must stay where it is; says why."""


class Source(NamedTuple):
    """Where a letter was first logged: a topic id (the topic's name in letters of before
    the id was kept), partition and offset."""

    log: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Letter:
    """A dead letter as it lies in its topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, message: Message) -> "Letter":
        headers: Any = message.headers() or []
        return cls(
            message.partition() or 0,
            message.offset() or 0,
            message.key(),
            message.value() or b"",
            {name: (value or b"").decode(errors="replace") for name, value in headers},
        )

    @property
    def source(self) -> Source:
        log = self.headers.get("log") or self.headers.get("topic", "")
        return Source(
            log, int(self.headers.get("partition", 0)), int(self.headers.get("offset", 0))
        )

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}"


class Mailbox:
    """The topic of the dead letters. Every call raises `LogUnavailable`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @classmethod
    def from_settings(cls) -> "Mailbox":
        return cls(Log(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_DEAD_TOPIC))

    def letters(self, newest: int | None = None) -> Iterator[Letter]:
        """All of them, or the `newest` of each partition, in the order of the log."""
        partitions = self._log.describe().partitions
        starts, ends = self._log.starts(partitions), self._log.ends(partitions)
        for partition, end in sorted(ends.items()):
            start = starts[partition]
            if newest is not None:
                start = max(start, end - newest)
            yield from map(Letter.of, self._log.read(partition, start, end))

    def letter(self, partition: int, offset: int) -> Letter | None:
        if partition >= self._log.describe().partitions:
            return None
        message = self._log.message(partition, offset)
        return None if message is None else Letter.of(message)


class Replayer:
    """Puts letters back into `topic`. `force` takes those too that can't be read."""

    def __init__(
        self, bootstrap_servers: str, topic: str, windows: DuplicateWindows, force: bool = False
    ) -> None:
        self._topic = topic
        self._windows = windows
        self._force = force
        self._producer = Producer(
            {
                **librdkafka_settings(bootstrap_servers),
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": 10_000,
                "log_level": 3,
            }
        )

    def replay(self, letter: Letter, now: datetime) -> bool:
        """Whether it was sent now: not if it was before. Returns when it is safe.

        Raises `NotReplayed`, or `LogUnavailable` when it is not known to be safe.
        """
        key, value = self._message(letter, now)
        log, partition, offset = letter.source
        replay, _ = Replay.objects.get_or_create(
            log=log, partition=partition, offset=offset, defaults={"started_at": now}
        )
        if replay.done_at is not None:
            return False
        window = timedelta(milliseconds=self._windows.backfill) - _MARGIN
        if now - replay.started_at > window:
            raise NotReplayed(
                f"a try of {replay.started_at:%Y-%m-%d} was cut off, and its event id is no longer "
                "remembered: sent again, it might count twice"
            )
        self._send(key, value)
        Replay.objects.filter(pk=replay.pk).update(done_at=now)
        return True

    def _message(self, letter: Letter, now: datetime) -> tuple[str | bytes | None, bytes]:
        try:
            page_view = decode(letter.value)
        except UndecodableMessage as error:
            if self._force:
                return letter.key, letter.value
            raise NotReplayed(f"it can't be read by this version either: {error}") from None
        if page_view in read_forgotten():
            raise NotReplayed("its visitor or its site was forgotten")
        again = self._arriving(page_view, letter.source, now)
        return again.visitor, encode(again)

    def _arriving(self, page_view: PageView, source: Source, now: datetime) -> PageView:
        """The page view as it arrives now, with an id that every try gives it."""
        received = round(now.timestamp() * 1000)
        if received - page_view.ts <= self._windows.recent:
            # It would be remembered among the recent, and not for long enough.
            minutes = self._windows.recent // 60_000
            raise NotReplayed(f"it happened less than {minutes} minutes ago; replay it later")
        made = f"dead:{source.partition}-{source.offset}:{source.log}"[:_MOST_ID]
        id_ = page_view.id if page_view.retryable else made
        return msgspec.structs.replace(page_view, id=id_, retryable=True, received=received)

    def _send(self, key: str | bytes | None, value: bytes) -> None:
        errors: list[object] = []
        try:
            self._producer.produce(
                self._topic,
                key=key,
                value=value,
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
            waiting = self._producer.flush(11)
        except (BufferError, KafkaException) as error:
            raise LogUnavailable(f"Kafka can't take it: {error}") from error
        if waiting or errors:
            raise LogUnavailable(f"Kafka did not acknowledge it: {errors[:1] or 'timed out'}")


def is_replayed(source: Source) -> bool:
    log, partition, offset = source
    return Replay.objects.filter(
        log=log, partition=partition, offset=offset, done_at__isnull=False
    ).exists()
