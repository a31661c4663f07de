"""Reads a topic as fast as confluent-kafka can."""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message

from bench.peers.views import BROKER, GROUP, TOPIC

_AT_ONCE = 10_000


def batches(events: int) -> Iterator[list[Message]]:
    """The topic's messages from its start, until there were so many."""
    settings: dict[str, Any] = {
        "bootstrap.servers": BROKER,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        # As the product has it; the default leaves the consumer idle half of the time.
        "fetch.queue.backoff.ms": 5,
    }
    consumer = Consumer(settings)
    consumer.subscribe([TOPIC])
    while events > 0:
        messages = consumer.consume(_AT_ONCE, timeout=0.1)
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        events -= len(messages)
        if messages:
            yield messages
    consumer.close()
