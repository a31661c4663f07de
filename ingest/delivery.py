"""One request's events on their way into Kafka: what every producer tells its door."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

# (key, value) each.
Messages = Sequence[tuple[str, bytes]]


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


# Where a thread takes the reports, it and the request meet in a `Delivery`, for nanoseconds.
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

    def arrived(self, number: int, receipt: Receipt) -> None:
        """The message is in the log."""
        self.receipts[number] = receipt
        self._settle(1)

    def failed(self, number: int, reason: str) -> None:
        """Nobody will ever know whether the message is in the log."""
        self.error = reason
        self._settle(1)

    def give_up(self, messages: int, reason: str) -> None:
        """The last `messages` were not taken; nothing will be reported of them."""
        self.error = reason
        self._settle(messages)

    def _settle(self, messages: int) -> None:
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


class Producer(Protocol):
    """Puts messages into Kafka."""

    def produce(self, messages: Messages, done: Callable[[Delivery], None]) -> Delivery:
        """`done` is called once it is known of each message whether it is safe, at the latest
        after the timeout.

        Raises `KafkaUnavailable` at once when too many wait already; then nothing was sent.
        """
