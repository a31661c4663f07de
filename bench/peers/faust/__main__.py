"""faust-streaming: an agent takes events in batches and adds them to Redis.

Its tables would want every event to go through Kafka a second time, by page.
"""

import tempfile

import faust

from bench.peers.views import BROKER, GROUP, TOPIC, RedisViews, count

_BATCH = 1_000
_MOST_S = 0.1

app = faust.App(
    GROUP,
    broker=f"kafka://{BROKER}",
    value_serializer="raw",
    broker_max_poll_records=_BATCH,
    stream_buffer_maxsize=2 * _BATCH,
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
    datadir=tempfile.mkdtemp(prefix="faust-"),
)
views = RedisViews()


@app.agent(app.topic(TOPIC, value_type=bytes))
async def count_views(stream: faust.Stream[bytes]) -> None:
    async for messages in stream.take(_BATCH, within=_MOST_S):
        views.add(count(messages))


if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()
