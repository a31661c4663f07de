"""What waits for Kafka, by partition. No I/O.

Batches leave a partition in their order and one at a time: what arrives while one is under way
travels in the next. A batch that is sent again is the same bytes with the same numbers, by
which the broker knows it (idempotent producer, KIP-98).
"""

import logging
import time
from collections import deque
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingest.delivery import Delivery, Receipt

logger = logging.getLogger(__name__)

# A broker takes 1,048,588 unless the topic says otherwise.
MOST_BATCH_BYTES = 1_000_000
_MAGIC, _UNCOMPRESSED, _NO_TRANSACTION = 2, 0, 0


class Identity(NamedTuple):
    """Under which the brokers keep the sequence numbers of a producer."""

    producer: int
    epoch: int


class Batch:
    """Records of one partition, and whom to tell what became of them. It is given up at
    `deadline` (the loop's clock)."""

    __slots__ = ("_builder", "_deliveries", "_ms", "deadline", "is_closed", "record_bytes")

    def __init__(self, deadline: float) -> None:
        self._builder = DefaultRecordBatchBuilder(
            _MAGIC, _UNCOMPRESSED, _NO_TRANSACTION, -1, -1, 0, MOST_BATCH_BYTES
        )
        # The request of each record, and which of its messages it is.
        self._deliveries: list[tuple[Delivery, int]] = []
        self._ms = int(time.time() * 1_000)
        self.deadline = deadline
        self.is_closed = False
        # Once it is sealed.
        self.record_bytes = b""

    def __len__(self) -> int:
        return len(self._deliveries)

    def add(self, key: bytes, value: bytes, delivery: Delivery, number: int) -> bool:
        """False if it has no room left."""
        deliveries = self._deliveries
        if self._builder.append(len(deliveries), self._ms, key, value, []) is None:
            return False
        deliveries.append((delivery, number))
        return True

    @property
    def is_sealed(self) -> bool:
        return bool(self.record_bytes)

    def seal(self, identity: Identity, sequence: int) -> None:
        self._builder.set_producer_state(identity.producer, identity.epoch, sequence)
        self.record_bytes = bytes(self._builder.build())
        del self._builder

    def arrived(self, partition: int, offset: int) -> None:
        """They are in the log from `offset` on."""
        for delivery, number in self._deliveries:
            try:
                delivery.arrived(number, Receipt(partition, offset))
            except Exception:
                logger.exception("An answer could not be given.")
            offset += 1

    def failed(self, reason: str) -> None:
        for delivery, number in self._deliveries:
            try:
                delivery.failed(number, reason)
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

    def add(
        self, key: bytes, value: bytes, delivery: Delivery, number: int, deadline: float
    ) -> None:
        waiting = self._waiting
        if waiting and not waiting[-1].is_closed and waiting[-1].add(key, value, delivery, number):
            return
        batch = Batch(deadline)
        batch.add(key, value, delivery, number)
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
        self._sequence = (self._sequence + len(batch)) % 2**31
        batch.arrived(self.partition, offset)
        return len(batch)

    def give_up(self, reason: str) -> int:
        """Whether the batch under way is in the log will never be known: the numbers of what
        follows would not fit, so the identity must not be used again."""
        batch = self._leave()
        batch.failed(reason)
        return len(batch)

    def expire(self, now: float, reason: str) -> int:
        """Give up what waited too long without being sent. Returns the number of records."""
        events = 0
        while self._waiting and self._waiting[0].deadline <= now:
            batch = self._waiting.popleft()
            batch.failed(reason)
            events += len(batch)
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
