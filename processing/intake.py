"""What the consumer takes out of Kafka's client at once, decoded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, Message

from ingest.pageview import PageView, UndecodableMessage
from processing.counting import Batch
from processing.dead_letters import DeadLetter

logger = logging.getLogger(__name__)

# Messages that are taken from the Kafka client at once.
_AT_ONCE = 2_000


@dataclass
class Read:
    """What was read at once: how many messages, by partition what they hold, and those that hold
    no page view. `is_astray`: Kafka says something that the position can't be trusted after."""

    messages: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    is_astray: bool = False


class Intake:
    """Reads up to `batch_events` at once, or what comes within some hundredths of a second.

    `is_behind`: the last reading was so large that more is likely to wait. `invalid_in_a_row`:
    messages without a page view since the last one with it, or since `begin_anew`.
    """

    def __init__(
        self,
        kafka: Consumer,
        batch_events: int,
        decode: Callable[[bytes | None], PageView],
    ) -> None:
        self._kafka = kafka
        self._batch_events = batch_events
        self._decode = decode
        self.is_behind = False
        self.invalid_in_a_row = 0

    def begin_anew(self) -> None:
        """What was read is going to be read again."""
        self.invalid_in_a_row = 0

    def read(self) -> Read:
        """A few at once while they come slowly, many when they wait."""
        read = Read()
        asked, timeout = 1, 0.2
        while asked:
            messages = self._kafka.consume(asked, timeout=timeout)
            self._take(messages, read)
            if len(messages) < asked:
                break
            asked = min(self._batch_events - read.messages, _AT_ONCE)
            # A little patience makes batches that are worth a round trip. Taking over as many as
            # wait in the client is work too, which must not be cut off.
            timeout = 0.2 if self.is_behind else 0.02
        self.is_behind = read.messages > self._batch_events // 2
        return read

    def _take(self, messages: Sequence[Message], read: Read) -> None:
        """Decode them at once: as messages they take as much memory again."""
        read.messages += len(messages)
        decode, invalid_in_a_row = self._decode, self.invalid_in_a_row
        batch = Batch(-1)
        for message in messages:
            error = message.error()
            if error is not None:
                read.is_astray |= _is_trouble(error)
                continue
            partition, offset = message.partition(), message.offset()
            # Every message from a broker has both.
            assert partition is not None and offset is not None  # noqa: S101
            if batch.partition != partition:
                batch = read.batches.setdefault(partition, Batch(partition))
            try:
                batch.add(offset, decode(message.value()))
                invalid_in_a_row = 0
            except UndecodableMessage as reason:
                batch.add(offset, None)
                read.letters.append(DeadLetter(message, str(reason)))
                invalid_in_a_row += 1
        self.invalid_in_a_row = invalid_in_a_row


def _is_trouble(news: KafkaError) -> bool:
    """What came is no message; whether the position is not trusted any more."""
    if news.code() == KafkaError._MAX_POLL_EXCEEDED:
        logger.warning("This consumer was too slow and left the group; it joins again.")
        return False
    if news.code() == KafkaError._PARTITION_EOF:
        return False
    logger.warning("Kafka says: %s", news)
    return True
