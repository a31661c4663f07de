"""Quix Streams: its messages are counted and written at each checkpoint, as increments.

Its own state would be by the message's key, the visitor; by page it would want every event to go
through Kafka a second time.
"""

from quixstreams import Application
from quixstreams.models import BytesDeserializer
from quixstreams.sinks.base import BatchingSink, SinkBatch

from bench.peers.views import BROKER, GROUP, TOPIC, RedisViews, count

_BATCH = 10_000
_MOST_S = 0.1


class RedisSink(BatchingSink):
    """Called at each checkpoint, before the offsets are committed."""

    def setup(self) -> None:
        self._views = RedisViews()

    def write(self, batch: SinkBatch) -> None:
        self._views.add(count(item.value for item in batch))


def main() -> None:
    application = Application(
        broker_address=BROKER,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        commit_every=_BATCH,
        commit_interval=_MOST_S,
        consumer_extra_config={"fetch.queue.backoff.ms": 5},
        consumer_poll_timeout=_MOST_S,
        loglevel="ERROR",
        auto_create_topics=False,
    )
    topic = application.topic(TOPIC, value_deserializer=BytesDeserializer())
    application.dataframe(topic).sink(RedisSink())
    application.run()


if __name__ == "__main__":
    main()
