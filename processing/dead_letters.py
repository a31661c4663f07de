"""Messages that could not be read: kept whole in a topic of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.kafka_security import librdkafka_settings
from processing.log import LogUnavailable


@dataclass(frozen=True)
class DeadLetter:
    """A message and why it could not be read."""

    message: Message
    reason: str


class DeadLetters:
    """Writes dead letters to Kafka, with headers `reason`, `topic`, `log` (the topic's id),
    `partition`, `offset`.

    A letter may be written again when the consumer that wrote it dies before its batch is
    applied; `log`, `partition` and `offset` tell the copies.
    """

    def __init__(self, bootstrap_servers: str, topic: str, timeout: float = 10.0) -> None:
        self.topic = topic
        self._timeout = timeout
        self._producer = Producer(
            {
                **librdkafka_settings(bootstrap_servers),
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(timeout * 1000),
                "log_level": 3,
            }
        )

    def keep(self, letters: Sequence[DeadLetter], topic_id: str) -> None:
        """Returns when every letter, read from the log `topic_id`, is safe; raises
        `LogUnavailable` otherwise."""
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)

        try:
            for letter in letters:
                self._producer.produce(
                    self.topic,
                    key=letter.message.key(),
                    value=letter.message.value(),
                    headers=_headers(letter, topic_id),
                    on_delivery=delivered,
                )
            waiting = self._producer.flush(self._timeout)
        except (BufferError, KafkaException) as error:
            raise LogUnavailable(f"dead letters can't be written: {error}") from error
        if waiting or errors:
            raise LogUnavailable(f"dead letters can't be written: {errors[:1] or 'timed out'}")


def _headers(letter: DeadLetter, topic_id: str) -> list[tuple[str, str | bytes | None]]:
    message = letter.message
    return [
        ("reason", letter.reason),
        ("topic", message.topic() or ""),
        ("log", topic_id),
        ("partition", str(message.partition())),
        ("offset", str(message.offset())),
    ]
