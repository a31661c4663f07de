"""One request's events on their way into Kafka: what every producer tells its door."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

# Key and value.
Message = tuple[bytes, bytes]

# Where a thread takes Kafka's reports, it and the request meet in a `Delivery`, for nanoseconds.
_settling = threading.Lock()


class KafkaUnavailable(RuntimeError):
    """Raised when Kafka can't be written to now; says why."""


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


class Delivery:
    """The messages of one request. Whoever puts them into Kafka tells what became of each, and
    the last word calls `done` with it."""

    __slots__ = ("_unsettled", "done", "messages", "receipts", "trouble")

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        # `<partition>-<offset>` of each message; None: it may or may not be in the log.
        self.receipts: list[str | None] = [None] * len(messages)
        # Why there is a None.
        self.trouble = ""
        self.done: Callable[[Delivery], None] = _tell_nobody
        self._unsettled = len(messages)

    @property
    def is_safe(self) -> bool:
        """Whether every message is in the log."""
        return None not in self.receipts

    def arrived(self, numbers: Sequence[int], partition: int, offset: int) -> None:
        """These of the messages are in the log, one after the other from `offset` on."""
        receipts = self.receipts
        for number in numbers:
            receipts[number] = f"{partition}-{offset}"
            offset += 1
        self._settle(len(numbers))

    def failed(self, messages: int, reason: str) -> None:
        """Of so many of them nobody will ever know more."""
        self.trouble = f"Kafka did not acknowledge in time: {reason}"
        self._settle(messages)

    def _settle(self, messages: int) -> None:
        if messages < len(self.messages):
            with _settling:
                self._unsettled -= messages
                if self._unsettled:
                    return
        self.done(self)


AnswerT = TypeVar("AnswerT")


class Accepted(Delivery, ABC, Generic[AnswerT]):
    """A delivery that knows what its request is answered."""

    __slots__ = ()

    @abstractmethod
    def answer(self) -> AnswerT:
        """Once it is known of each message whether it is safe."""


class Producer(Protocol):
    """Puts messages into Kafka."""

    def produce(self, delivery: Delivery) -> None:
        """`delivery.done` is called once it is known of each message whether it is safe, at
        the latest after the timeout.

        Raises `KafkaUnavailable` at once when too many wait already; then nothing was sent.
        """


def _tell_nobody(_: Delivery) -> None:
    """Until somebody waits."""
