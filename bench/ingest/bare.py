"""A door with nothing in it but the promise: decode, produce, answer on the delivery report.

No validation beyond the types, no sites, no visitor hash: what is possible, not what is offered.
"""

import asyncio
import os
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from ingest.track_request import TrackRequest

_HEADERS = [("content-type", "application/json")]
_POLL_S = 0.002
_TOPIC = os.environ["KAFKA_TOPIC"]
_decode = msgspec.json.Decoder(TrackRequest).decode
_encode = msgspec.json.Encoder().encode
Report = tuple[KafkaError | None, Message]


class Application:
    """RSGI. One producer; a task on the loop takes the delivery reports."""

    def __init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": float(os.environ.get("KAFKA_LINGER_MS", "1")),
                "queue.buffering.max.messages": 20_000,
            }
        )

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task = loop.create_task(self._take_reports())

    async def __rsgi__(self, _: Any, protocol: Any) -> None:
        request = _decode(await protocol())
        reported: asyncio.Future[Report] = self._loop.create_future()
        self._producer.produce(
            _TOPIC,
            key=str(request.user_id),
            value=_encode(request),
            on_delivery=partial(_report, reported),
        )
        error, message = await reported
        if error is not None:
            protocol.response_empty(503, [("retry-after", "2")])
            return
        receipt = f"{message.partition()}-{message.offset()}"
        answer = {"status": "accepted", "id": request.event_id, "receipt": receipt}
        protocol.response_bytes(202, _HEADERS, _encode(answer))

    async def _take_reports(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(_POLL_S)


def _report(reported: "asyncio.Future[Report]", error: KafkaError | None, message: Message) -> None:
    if not reported.done():
        reported.set_result((error, message))


application = Application()
