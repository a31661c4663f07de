"""What the requests left in Kafka: every message of it must be a page view."""

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from ingest.pageview import UndecodableMessage, decode

_PARTITIONS = 2


class KafkaLog:
    """Follows a topic from its beginning."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        self._next = dict.fromkeys(range(_PARTITIONS), 0)
        # The event ids, by receipt.
        self._ids: dict[str, str] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "hostile",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "fetch.wait.max.ms": 20,
            }
        )
        self._partitions = [TopicPartition(topic, partition, 0) for partition in self._next]
        self._consumer.assign(self._partitions)

    @property
    def messages(self) -> int:
        return sum(self._next.values())

    def read(self, marks: Iterable[str]) -> list[str]:
        """Read on to these receipts, in each partition one; what is wrong with the messages until
        there. (The end that the embedded broker tells may lag behind its acks.)"""
        wrong, last = [], dict[int, int]()
        for mark in marks:
            partition, offset = map(int, mark.split("-"))
            last[partition] = max(last.get(partition, 0), offset)
        assert last.keys() == self._next.keys(), "no mark in some partition"
        self._consumer.resume(self._partitions)
        while any(self._next[partition] <= last[partition] for partition in last):
            message = self._consumer.poll(20)
            assert message is not None and message.error() is None, "Kafka gives no messages"
            at, number = message.partition(), message.offset()
            assert at is not None and number is not None
            self._next[at] = number + 1
            try:
                self._ids[f"{at}-{number}"] = decode(message.value()).id
            except UndecodableMessage as error:
                wrong.append(f"message {at}-{number} is no page view: {error}")
        # Else it would go on asking for what is new.
        self._consumer.pause(self._partitions)
        return wrong

    def is_receipt(self, receipt: str, event_id: str) -> bool:
        """Whether this event is where its receipt says."""
        return self._ids.get(receipt) == event_id

    def dead_letters(self) -> int:
        dead = TopicPartition(f"{self._topic}.dead", 0)
        ends = self._consumer.get_watermark_offsets(dead, 20)
        assert ends is not None
        return ends[1]

    def close(self) -> None:
        self._consumer.close()
