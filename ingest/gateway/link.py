"""A connection to one broker, for batches of records: one request at a time.

A broker looks at a connection's next request when it has answered the one before, so nothing is
gained by sending it earlier; what comes meanwhile travels together. There is no task, no future
and no timer for each request: whoever sends knows when its time is over.
"""

import asyncio
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

from aiokafka.protocol.api import RequestStruct

from ingest.gateway.lanes import Batch, Lane
from ingest.gateway.requests import CLIENT, Answers, produce_request, read_answers

# What travels in one request.
Load = list[tuple[Lane, Batch]]

_SIZE_BYTES = 4
# An answer takes thirty bytes a partition.
_MOST_ANSWER_BYTES = 2**20
_number = struct.Struct(">i")


class Link(asyncio.Protocol):
    """`answered` gets each load with what the broker says of it, by partition; `lost` is called
    once, when the connection is gone, with the load that was not answered and the reason."""

    def __init__(
        self,
        answered: Callable[[Load, Answers], None],
        lost: Callable[["Link", Load, str], None],
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._transport: Any = None
        self._question: asyncio.Future[bytes] | None = None
        self._load: Load = []
        self._unread = b""
        self._number = 0
        self._reason = "the broker closed the connection"
        self.is_lost = False

    @property
    def is_free(self) -> bool:
        return not self._load

    async def ask(self, request: RequestStruct) -> Any:
        """Of a link that nothing is sent over yet. Returns what the broker answers; raises
        `ConnectionError`."""
        header = request.build_request_header(self._next_number(), CLIENT)
        message = header.encode() + request.encode()
        self._question = asyncio.get_running_loop().create_future()
        self._transport.write(_number.pack(len(message)) + message)
        answer = BytesIO(await self._question)
        self._question = None
        request.parse_response_header(answer)
        return request.RESPONSE_TYPE.decode(answer)

    def send(self, topic: str, timeout_ms: int, load: Load) -> None:
        """Only while it is free."""
        self._load = load
        records = [(lane.partition, batch.record_bytes) for lane, batch in load]
        self._transport.write(produce_request(self._next_number(), topic, timeout_ms, records))

    def _next_number(self) -> int:
        self._number = (self._number + 1) % 2**31
        return self._number

    def abort(self, reason: str) -> None:
        """Nothing more is heard of what is under way."""
        self._reason = reason
        self._transport.abort()

    # --- What asyncio tells -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._unread = self._unread + data
        if len(data) < _SIZE_BYTES:
            return
        (size,) = _number.unpack_from(data)
        if size > _MOST_ANSWER_BYTES:
            self.abort("the broker's answer is none")
        elif len(data) >= _SIZE_BYTES + size:
            self._unread = b""
            if self._question is None:
                self._read(data[_SIZE_BYTES:])
            elif not self._question.done():
                self._question.set_result(data[_SIZE_BYTES:])

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        load, self._load = self._load, []
        reason = str(error or self._reason)
        if self._question is not None and not self._question.done():
            self._question.set_exception(ConnectionResetError(reason))
        self._lost(self, load, reason)

    def _read(self, answer: bytes) -> None:
        """There is one at most, as one request is under way at most."""
        try:
            (number,) = _number.unpack_from(answer)
            answers = read_answers(answer[_number.size :])
            if number != self._number:
                raise ValueError(f"request {self._number} was answered as {number}")
            for lane, _ in self._load:
                if lane.partition not in answers:
                    raise ValueError(f"nothing is said of partition {lane.partition}")
        except (struct.error, ValueError) as error:
            self.abort(f"the broker's answer can't be read: {error}")
            return
        load, self._load = self._load, []
        self._answered(load, answers)
