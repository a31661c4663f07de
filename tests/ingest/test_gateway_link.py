"""The gateway's connection to a broker, against one that answers as no real one should."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from ingest.delivery import Delivery
from ingest.gateway.lanes import Batch, Identity, Lane
from ingest.gateway.link import Link, Load
from ingest.gateway.requests import Answers

TOPIC = "views"


def load(*partitions: int) -> Load:
    found = []
    for partition in partitions:
        lane = Lane(partition)
        lane.add(Delivery([(b"key", b"value")]), (0,), deadline=1.0)
        found.append((lane, lane.next(Identity(1, 0), leader=1)))
    return found


def answer(number: int, *partitions: tuple[int, int, int]) -> bytes:
    """What a broker says of partitions: their number, an error code, a base offset."""
    said = b"".join(struct.pack(">ihqqq", *one, -1, 0) for one in partitions)
    name = TOPIC.encode()
    head = struct.pack(f">iih{len(name)}si", number, 1, len(name), name, len(partitions))
    body = head + said + struct.pack(">i", 0)
    return struct.pack(">i", len(body)) + body


class Broker:
    """Takes one connection and says to each request what it is told to."""

    def __init__(self, *answers: list[bytes]) -> None:
        self._answers = answers
        self.asked: list[bytes] = []
        self.is_done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for pieces in self._answers:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                self.asked.append(await reader.readexactly(size))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
            await reader.read()
        writer.close()
        self.is_done.set()


class Asking:
    """A link to such a broker, and what became of what was sent."""

    def __init__(self) -> None:
        self.answers: list[Answers] = []
        self.lost: list[tuple[Load, str]] = []
        self._news = asyncio.Event()

    async def connect(self, port: int) -> Link:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(
            lambda: Link(self._answered, self._lost), "127.0.0.1", port
        )
        return link

    async def hear(self) -> None:
        await asyncio.wait_for(self._news.wait(), 30)
        self._news.clear()

    def _answered(self, load_: Load, answers: Answers) -> None:
        self.answers.append(answers)
        self._news.set()

    def _lost(self, link: Link, load_: Load, reason: str) -> None:
        self.lost.append((load_, reason))
        self._news.set()


def run(broker: Broker, test: Callable[[Link, Asking], Awaitable[None]]) -> None:
    async def bounded() -> None:
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        asking = Asking()
        link = await asking.connect(server.sockets[0].getsockname()[1])
        async with asyncio.timeout(60):
            await test(link, asking)
        link.abort("the test is over")
        await broker.is_done.wait()
        server.close()

    asyncio.run(bounded())


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_it_reads_answers_however_they_are_cut(size: int) -> None:
    first = answer(1, (0, 0, 70), (4, 6, -1))
    broker = Broker(pieces(first, size), pieces(answer(2, (4, 0, 2**40)), size))

    async def test(link: Link, asking: Asking) -> None:
        link.send(TOPIC, 1_000, load(0, 4))
        assert not link.is_free
        await asking.hear()
        assert link.is_free
        link.send(TOPIC, 1_000, load(4))
        await asking.hear()
        assert asking.answers == [{0: (0, 70), 4: (6, -1)}, {4: (0, 2**40)}]
        assert asking.lost == []

    run(broker, test)
    assert all(TOPIC.encode() in request for request in broker.asked)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(7, (0, 0, 70)), "request 1 was answered as 7"),
        (answer(1, (3, 0, 70)), "nothing is said of partition 0"),
        (struct.pack(">i", 2**30), "the broker's answer is none"),
        (struct.pack(">ii", 4, 1), "can't be read"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the broker's answer is none"),
        (struct.pack(">i", -1) + b"xx", "can't be read"),
    ],
)
def test_it_gives_up_a_broker_that_answers_something_else(said: bytes, reason: str) -> None:
    sent = load(0)

    async def test(link: Link, asking: Asking) -> None:
        link.send(TOPIC, 1_000, sent)
        await asking.hear()
        ((lost, why),) = asking.lost
        assert lost == sent and reason in why
        assert asking.answers == []

    run(Broker([said]), test)


def test_what_was_not_answered_is_given_back() -> None:
    sent = load(0)

    async def test(link: Link, asking: Asking) -> None:
        link.send(TOPIC, 1_000, sent)
        link.abort("no answer")
        await asking.hear()
        assert asking.lost == [(sent, "no answer")]
        assert link.is_lost

    run(Broker([b""]), test)


def test_a_batch_is_in_the_request_as_it_is() -> None:
    (lane, batch), *_ = sent = load(5)
    broker = Broker([answer(1, (5, 0, 0))])

    async def test(link: Link, asking: Asking) -> None:
        link.send(TOPIC, 1_234, sent)
        await asking.hear()

    run(broker, test)
    assert isinstance(batch, Batch) and broker.asked[0].endswith(batch.record_bytes)
    assert struct.pack(">ii", lane.partition, len(batch.record_bytes)) in broker.asked[0]
    assert struct.pack(">i", 1_234) in broker.asked[0]
