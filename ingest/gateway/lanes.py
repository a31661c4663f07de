"""What waits for Kafka, by partition. No I/O.

Batches leave a partition in their order and one at a time: what arrives while one is under way
travels in the next. A batch that is sent again is the same bytes with the same numbers, by
which the broker knows it (idempotent producer, KIP-98).
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingest.delivery import Delivery

logger = logging.getLogger(__name__)

# A broker takes 1,048,588 unless the topic says otherwise.
MOST_BATCH_BYTES = 1_000_000
_MAGIC, _UNCOMPRESSED, _NO_TRANSACTION = 2, 0, 0
_NO_HEADERS: list[tuple[str, bytes | None]] = []


class Identity(NamedTuple):
    """Under which the brokers keep the sequence numbers of a producer."""

    producer: int
    epoch: int


class Batch:
    """Records of one partition, and whom to tell what became of them. It is given up at
    `deadline` (the loop's clock)."""

    __slots__ = (
        "_builder",
        "_deliveries",
        "_ms",
        "deadline",
        "is_closed",
        "record_bytes",
        "records",
    )

    def __init__(self, deadline: float) -> None:
        self._builder = DefaultRecordBatchBuilder(
            _MAGIC, _UNCOMPRESSED, _NO_TRANSACTION, -1, -1, 0, MOST_BATCH_BYTES
        )
        # In the order of the records: requests, and which of their messages are here.
        self._deliveries: list[tuple[Delivery, Sequence[int]]] = []
        self._ms = int(time.time() * 1_000)
        self.deadline = deadline
        self.is_closed = False
        self.records = 0
        # Once it is sealed.
        self.record_bytes = b""

    def add(self, delivery: Delivery, numbers: Sequence[int]) -> Sequence[int]:
        """Take these of its messages. Returns those that there is no room for."""
        append, messages, ms, first = (
            self._builder.append,
            delivery.messages,
            self._ms,
            self.records,
        )
        for number in numbers:
            key, value = messages[number]
            if append(self.records, ms, key, value, _NO_HEADERS) is None:
                break
            self.records += 1
        taken = self.records - first
        if taken:
            self._deliveries.append((delivery, numbers[:taken]))
        return numbers[taken:]

    def seal(self, identity: Identity, sequence: int) -> None:
        self._builder.set_producer_state(identity.producer, identity.epoch, sequence)
        self.record_bytes = bytes(self._builder.build())
        del self._builder

    def arrived(self, partition: int, offset: int) -> None:
        """They are in the log from `offset` on."""
        for delivery, numbers in self._deliveries:
            try:
                delivery.arrived(numbers, partition, offset)
            except Exception:
                logger.exception("An answer could not be given.")
            offset += len(numbers)

    def failed(self, reason: str) -> None:
        for delivery, numbers in self._deliveries:
            try:
                delivery.failed(len(numbers), reason)
            except Exception:
                logger.exception("An answer could not be given.")


class Lane:
    """One partition's batches: the one under way, and those that wait for it."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.under_way: Batch | None = None
        # Where it was sent to, and whether it has to be sent again.
        self.leader: int | None = None
        self.is_refused = False
        self._waiting: deque[Batch] = deque()
        self._identity: Identity | None = None
        self._sequence = 0

    def add(self, delivery: Delivery, numbers: Sequence[int], deadline: float) -> None:
        """These of its messages wait from now on."""
        waiting = self._waiting
        left = numbers
        if waiting and not waiting[-1].is_closed:
            left = waiting[-1].add(delivery, numbers)
        while left:
            batch = Batch(deadline)
            left = batch.add(delivery, left)
            waiting.append(batch)

    @property
    def can_send(self) -> bool:
        return self.is_refused if self.under_way is not None else bool(self._waiting)

    def next(self, identity: Identity, leader: int) -> Batch:
        """What is to be sent to `leader` now."""
        self.leader, self.is_refused = leader, False
        if self.under_way is None:
            self.under_way = self._waiting.popleft()
            if identity != self._identity:
                self._identity, self._sequence = identity, 0
            self.under_way.seal(identity, self._sequence)
        return self.under_way

    def arrived(self, offset: int) -> int:
        """The batch under way is in the log. Returns its number of records."""
        batch = self._leave()
        self._sequence = (self._sequence + batch.records) % 2**31
        batch.arrived(self.partition, offset)
        return batch.records

    def give_up(self, reason: str) -> int:
        """Whether the batch under way is in the log will never be known: the numbers of what
        follows would not fit, so the identity must not be used again."""
        batch = self._leave()
        batch.failed(reason)
        return batch.records

    def expire(self, now: float, reason: str) -> int:
        """Give up what waited too long without being sent. Returns the number of records."""
        events = 0
        while self._waiting and self._waiting[0].deadline <= now:
            batch = self._waiting.popleft()
            batch.failed(reason)
            events += batch.records
        return events

    def close_batch(self) -> None:
        """What comes from now on gets a batch, and a deadline, of its own."""
        if self._waiting:
            self._waiting[-1].is_closed = True

    def _leave(self) -> Batch:
        batch, self.under_way = self.under_way, None
        self.is_refused = False
        assert batch is not None  # noqa: S101  asked only while one is under way
        return batch
