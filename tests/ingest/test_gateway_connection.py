"""The gateway's own HTTP/1.1: what a client may do to a connection, and what it gets for it."""

import gc
import socket
import weakref
from types import SimpleNamespace
from typing import cast

import pytest

from ingest import door as door_module
from ingest.client_address import read_networks
from ingest.door import Door
from ingest.doors.runner import TrackerDoors
from ingest.gateway import server as server_module
from ingest.gateway.connection import Connection, Request
from ingest.gateway.routes import Routes
from ingest.gateway.server import Server
from ingest.sender import Sender
from ingest.too_large import MOST_HEAD_BYTES
from tests.ingest.gateway_server import (
    GET,
    LIMIT,
    POST,
    SECONDS,
    Held,
    Running,
    Serve,
    chunked,
    echo,
    post,
)
from tests.ingest.gateway_server import serve as serve
from tests.processing.pipeline import wait_for


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every patience of the server is a second."""
    for name in ("IDLE_SECONDS", "REQUEST_SECONDS", "SLOW_READER_SECONDS"):
        monkeypatch.setattr(server_module, name, 1.0)


# --- One request after the other ---------------------------------------------------------


def test_it_answers_pipelined_requests_in_their_order(serve: Serve) -> None:
    def handle(request: Request) -> None:
        if request.head.target == b"/slow":
            running.later(0.2, echo, request)
        else:
            echo(request)

    running = serve(handle)
    wanted = [b"quick", b"slow", b"quick", b"slow", b"slow", b"quick"]
    client = running.client().send(b"".join(GET % target for target in wanted))
    assert [client.answer().body for _ in wanted] == [b"/" + target for target in wanted]


def test_it_answers_thousands_that_wait_behind_one(serve: Serve) -> None:
    """As many as fit into one read, each of them answered at once when its turn comes."""

    def handle(request: Request) -> None:
        if request.head.target == b"/0":
            running.later(0.2, echo, request)
        else:
            echo(request)

    running = serve(handle)
    client = running.client().send(b"".join(GET % b"%d" % n for n in range(5_000)))
    assert [client.answer().body for _ in range(5_000)] == [b"/%d" % n for n in range(5_000)]


def test_it_hands_over_one_request_of_a_connection_at_a_time(serve: Serve) -> None:
    held = Held()
    running = serve(held)
    client = running.client().send(post(b"a") + post(b"b"))
    held.wait(1)
    assert not client.is_told(0.1) and len(held.requests) == 1
    running.soon(echo, held.requests[0])
    held.wait(2)
    running.soon(echo, held.requests[1])
    assert [client.answer().body for _ in range(2)] == [b"/a", b"/b"]


@pytest.mark.parametrize("size", [1, 7, 4_096])
def test_it_reads_requests_however_they_are_cut(serve: Serve, size: int) -> None:
    data = post(b"x" * 50) + chunked(b"y" * 5, b"z" * 6) + GET % b"last"
    client = serve(echo).client()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), size):
        client.send(data[at : at + size])
    bodies = [client.answer().body for _ in range(3)]
    assert bodies == [b"/" + b"x" * 50, b"/yyyyyzzzzzz", b"/last"]


def test_it_answers_http_1_0_and_closes(serve: Serve) -> None:
    client = serve(echo).client().send(b"GET /old HTTP/1.0\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"/old", "close")
    assert client.is_closed()


def test_it_closes_where_it_is_asked_to(serve: Serve) -> None:
    client = serve(echo).client().send(post(b"x", b"connection: close"))
    assert client.answer().headers["connection"] == "close"
    assert client.is_closed()


def test_it_answers_head_without_a_body(serve: Serve) -> None:
    client = serve(echo).client().send(b"HEAD /four HTTP/1.1\r\nhost: a\r\n\r\n" + GET % b"next")
    assert client.answer(to_head=True).headers["content-length"] == "5"
    assert client.answer().body == b"/next"


def test_it_sends_no_length_with_204(serve: Serve) -> None:
    client = serve(lambda request: request.answer(204, b"", b"")).client().send(GET % b"" * 2)
    for _ in range(2):
        assert "content-length" not in client.answer().headers


def test_it_encourages_who_waits_for_a_word(serve: Serve) -> None:
    whole = post(b"body", b"expect: 100-continue")
    client = serve(echo).client().send(whole[:-4])
    assert client.answer().status == 100
    assert client.send(b"body").answer().body == b"/body"


# --- Upgrades ----------------------------------------------------------------------------

H2C = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABk")


@pytest.mark.parametrize("body", [b"", b"body"])
def test_it_answers_who_offers_http_2_as_if_it_had_not(serve: Serve, body: bytes) -> None:
    client = serve(echo).client()
    for _ in range(2):
        assert client.send(post(body, *H2C)).answer().body == b"/" + body
    assert client.send(post(body, *H2C) + GET % b"next").answer().body == b"/" + body
    assert client.answer().body == b"/next"


def test_it_reads_the_body_with_an_offer_however_it_comes(serve: Serve) -> None:
    """Read as the next request, it would be a way to smuggle one past a proxy."""
    offer = b"".join(b"%s\r\n" % line for line in H2C)
    smuggled = GET % b"smuggled"
    whole = chunked(smuggled[:9], smuggled[9:]).replace(b"host: localhost\r\n", offer, 1)
    client = serve(echo).client()
    for data in (whole, post(smuggled, *H2C), post(smuggled, *H2C, b"connection: close")):
        for at in range(0, len(data), 16):
            client.send(data[at : at + 16])
        assert client.answer().body == b"/" + smuggled
    assert client.is_closed()


def test_it_refuses_a_large_body_with_an_offer(serve: Serve) -> None:
    client = serve(echo).client().send(post(b"x" * (LIMIT + 1), *H2C))
    assert client.answer().status == 413
    assert client.is_closed()


def test_it_takes_thousands_of_offers_in_one_piece(serve: Serve) -> None:
    offer = b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n"
    client = serve(echo).client().send(offer * 3_000)
    assert {client.answer().body for _ in range(3_000)} == {b"/x"}


def test_it_is_no_proxy(serve: Serve) -> None:
    client = serve(echo).client()
    client.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
    assert client.answer().status == 400
    assert client.is_closed()


# --- What is no HTTP ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 5x\r\n\r\nhello",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"transfer-encoding: chunked, gzip\r\n\r\nhello",
        POST + b"transfer-encoding: chunked\r\n\r\nhello\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        POST + b"x-a: b\r\n c\r\n\r\n",
        POST + b"x-a: b\r\n\tc\r\n\r\n",
        POST + b"x-a: b\nx-c: d\r\n\r\n",
        b"GET / HTTP/1.1\nhost: localhost\n\n",
        POST + b"x-a: b\rx-c: d\r\n\r\n",
        POST + b"x-a: b\x00c\r\n\r\n",
        POST + b"x\x00a: b\r\n\r\n",
        POST + b"x-a : b\r\n\r\n",
        POST + b": b\r\n\r\n",
    ],
)
def test_it_refuses_what_others_could_read_otherwise(serve: Serve, data: bytes) -> None:
    """Request smuggling lives on what two servers understand differently."""
    client = serve(echo).client().send(data)
    answer = client.answer()
    assert answer.status == 400
    assert b'"error"' in answer.body and answer.headers["connection"] == "close"
    assert client.is_closed()


def test_it_answers_first_what_was_asked_before_the_garbage(serve: Serve) -> None:
    held = Held()
    running = serve(held)
    client = running.client().send(post(b"a") + b"garbage\r\n\r\n")
    held.wait(1)
    running.soon(echo, held.requests[0])
    answer = client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"/a", "close")
    assert client.is_closed()


def test_it_looks_for_no_header_behind_the_body(serve: Serve) -> None:
    """A proxy adds what it knows of the client to the head; the trailers are the client's own."""
    seen: list[Request] = []

    def handle(request: Request) -> None:
        seen.append(request)
        echo(request)

    trailers = b"x-forwarded-for: 203.0.113.9\r\nuser-agent: other\r\n"
    client = serve(handle).client().send(chunked(b"body", trailers=trailers))
    assert client.answer().body == b"/body"
    assert (seen[0].head.forwarded_for, seen[0].head.agent) == ("", "")


# --- Bounds of size ----------------------------------------------------------------------

LONG = b"x-a: " + b"a" * 1_000 + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * (3 * MOST_HEAD_BYTES),
        b"GET /" + b"a" * (3 * MOST_HEAD_BYTES) + b" HTTP/1.1\r\n\r\n",
        POST + LONG * 100,
        POST + LONG * 100 + b"\r\n",
        post(b"x") + POST + LONG * 100 + b"\r\n",
        chunked(b"body")[:-2] + LONG * 100,
    ],
    ids=["endless-target", "target", "endless-headers", "headers", "second", "trailers"],
)
def test_it_refuses_a_large_head(serve: Serve, data: bytes) -> None:
    client = serve(echo).client().send(data)
    if data.startswith(post(b"x")):
        assert client.answer().status == 200
    assert client.answer().status == 431
    assert client.is_closed()


def test_it_takes_a_head_of_usual_size(serve: Serve) -> None:
    client = serve(echo).client()
    for _ in range(3):
        assert client.send(POST + LONG * 30 + b"content-length: 0\r\n\r\n").answer().status == 200


def test_it_refuses_bodies_that_are_too_many_together(serve: Serve) -> None:
    running = serve(echo, most_buffered_bytes=100_000)
    slow, second, third = running.client(), running.client(), running.client()
    slow.send(post(b"x" * 60_000)[:-1])
    wait_for(lambda: running.server.buffered > 59_000, "the first body to be held")
    refused = second.send(post(b"x" * 60_000)).answer()
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert second.is_closed()
    assert slow.send(b"x").answer().status == 200
    assert third.send(post(b"x" * 60_000)).answer().status == 200


def test_it_forgets_the_bodies_of_those_who_vanish(serve: Serve) -> None:
    held = Held()
    running = serve(held)
    reading, asked, queued = (running.client() for _ in range(3))
    reading.send(post(b"x" * 1_000)[:-1])
    asked.send(post(b"x" * 1_000))
    queued.send(post(b"x" * 1_000) * 3)
    held.wait(2)
    wait_for(lambda: running.server.buffered == 4_999, "all bodies to be held")
    for client in (reading, asked, queued):
        client.close()
    wait_for(lambda: running.server.buffered == 4_000, "only those that were asked to be held")
    running.server.handle = echo
    for request in held.requests:
        running.soon(echo, request)
    wait_for(lambda: running.server.buffered == 0, "no body to be held")


def test_it_forgets_the_body_behind_one_that_it_refuses(serve: Serve) -> None:
    held = Held()
    running = serve(held)
    # At once: behind a request that waits nothing more is read.
    too_large = POST + b"content-length: %d\r\n\r\n" % (LIMIT + 1)
    client = running.client().send(post(b"x" * 1_000) * 2 + too_large)
    held.wait(1)
    wait_for(lambda: running.server.buffered == 1_000, "the second body to be forgotten")
    running.soon(echo, held.requests[0])
    assert client.answer().status == 200
    assert client.is_closed()


def test_it_bounds_its_connections(serve: Serve) -> None:
    running = serve(echo, most_connections=2)
    first, second = (running.client().send(GET % b"" * 1) for _ in range(2))
    assert [first.answer().status, second.answer().status] == [200, 200]
    assert is_served(running) is False
    first.close()
    wait_for(lambda: is_served(running), "a place to be free")
    assert second.send(GET % b"").answer().status == 200


def is_served(running: Running) -> bool:
    client = running.client()
    try:
        return client.send(GET % b"").answer().status == 200
    except (OSError, ValueError):
        return False
    finally:
        client.close()


# --- Bounds of time ----------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("start", [post(b"x" * 1_000)[:-999], b"GET /", POST + b"x-a: "])
def test_it_waits_no_longer_for_a_request_that_does_not_end(serve: Serve, start: bytes) -> None:
    """Not even for one of which a byte comes now and then."""
    client = serve(echo).client().send(start)
    for _ in range(int(SECONDS * 20)):
        if client.is_told(0.05):
            break
        client.send(b"x")
    assert client.answer().status == 408
    assert client.is_closed()


@pytest.mark.usefixtures("hasty")
def test_it_closes_idle_connections(serve: Serve) -> None:
    running = serve(echo)
    silent, served = running.client(), running.client().send(GET % b"")
    assert served.answer().status == 200
    assert silent.is_closed() and served.is_closed()


@pytest.mark.usefixtures("hasty")
def test_it_waits_for_its_own_answer_as_long_as_that_takes(serve: Serve) -> None:
    running: Running = serve(lambda request: running.later(3.5, echo, request))
    assert running.client().send(GET % b"late").answer().body == b"/late"


@pytest.mark.usefixtures("hasty")
def test_it_cuts_who_does_not_read_the_answer(serve: Serve) -> None:
    running = serve(lambda request: request.answer(200, b"", b"x" * 8 * 2**20))
    running.client(receive_buffer=4_096).send(GET % b"")
    wait_for(lambda: bool(running.server._connections), "the connection")
    running.wait_cut()


@pytest.mark.usefixtures("hasty")
def test_it_cuts_who_does_not_read_a_small_answer(serve: Serve) -> None:
    """Too small a rest to be counted as slow reading: an idle connection that can't be closed."""
    running = serve(lambda request: request.answer(200, b"", b"x" * 40_000))
    running.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    running.client(receive_buffer=2_048).send(GET % b"")
    wait_for(lambda: bool(running.server._connections), "the connection")
    running.wait_cut()


@pytest.mark.usefixtures("hasty")
def test_it_cuts_who_asks_on_and_on_without_reading(serve: Serve) -> None:
    """And does not keep the answers meanwhile."""
    asked = 0

    def handle(request: Request) -> None:
        nonlocal asked
        asked += 1
        request.answer(200, b"", b"x" * 10_000)

    client = serve(handle).client(receive_buffer=4_096)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(1_000_000):
            client.send(GET % b"")
    assert asked < 50_000


@pytest.mark.usefixtures("hasty")
def test_it_goes_on_with_who_reads_late(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that were not read for so long are answered then."""
    monkeypatch.setattr(server_module, "SLOW_READER_SECONDS", SECONDS)
    running = serve(lambda request: request.answer(200, b"", b"x" * 2**20))
    client = running.client(receive_buffer=4_096)
    client.send(GET % b"" * 10)
    wait_for(lambda: any(one.is_slow_reader for one in running.server._connections), "a jam")
    client.send(GET % b"" * 10)
    assert [len(client.answer().body) for _ in range(20)] == [2**20] * 20


# --- Whatever else goes wrong ------------------------------------------------------------


def test_it_is_not_harmed_by_a_client_that_does_not_wait(serve: Serve) -> None:
    held = Held()
    running = serve(held)
    gone = running.client().send(post(b"x"))
    held.wait(1)
    gone.close()
    other = running.client().send(post(b"y"))
    held.wait(2)
    for request in held.requests:
        running.soon(echo, request)
    assert other.answer().body == b"/y"


@pytest.mark.parametrize("is_answered", [True, False])
def test_whoever_is_gone_leaves_nothing_for_the_collector(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    held = Held()
    running = serve(echo if is_answered else held)
    seen: list[weakref.ref[Connection]] = []

    def opened(connection: Connection) -> None:
        seen.append(weakref.ref(connection))
        Server.opened(running.server, connection)

    monkeypatch.setattr(running.server, "opened", opened)
    gc.disable()
    try:
        client = running.client().send(post(b"x"))
        if is_answered:
            assert client.answer().status == 200
        else:
            held.wait(1)
        client.close()
        running.wait_cut()
        if not is_answered:
            running.soon(held.requests.pop().answer, 200, b"", b"")
        wait_for(lambda: seen[0]() is None, "the connection to be forgotten")
    finally:
        gc.enable()


class BrokenDoor:
    """Crashes on every event."""

    def of_sender(self, sender: Sender) -> SimpleNamespace:
        return SimpleNamespace(sender=sender)

    def refuse_unread(self, content_type: str, address: str) -> door_module.Answer | None:
        return None

    def read_one(self, body: bytes, told: object) -> None:
        raise RuntimeError("what nobody thought of")

    read_many = read_one


class FullDoor(BrokenDoor):
    """Takes nothing from anybody, whoever it is."""

    def refuse_unread(self, content_type: str, address: str) -> door_module.Answer:
        return door_module.Answer(429, address.encode(), 3)

    def of_sender(self, sender: Sender) -> SimpleNamespace:
        raise RuntimeError("nothing more should be asked of who sends too much")


@pytest.mark.parametrize("forwarded_for", ["", "203.0.113.9", "x, " * 400 + "203.0.113.9"])
def test_it_refuses_a_flood_before_it_looks_at_its_sender(serve: Serve, forwarded_for: str) -> None:
    doors = TrackerDoors(cast(Door, FullDoor()), 1_000)
    routes = Routes(doors, read_networks(["127.0.0.1"]), lambda: None, lambda: 0.0)
    header = [f"x-forwarded-for: {forwarded_for}".encode()] if forwarded_for else []
    flood = post(b"{}", *header).replace(b"POST /", b"POST /api/v1/track")
    answer = serve(routes.handle).client().send(flood).answer()
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")
    assert answer.body.decode() == (forwarded_for.rpartition(" ")[2] or "127.0.0.1")


def test_it_answers_500_and_goes_on_after_a_crash(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    door = cast(Door, BrokenDoor())
    routes = Routes(TrackerDoors(door, 1_000), (), lambda: None, lambda: 0.0)
    client = serve(routes.handle).client()
    crash = post(b"{}").replace(b"POST /", b"POST /api/v1/track")
    for _ in range(2):
        assert client.send(crash).answer().status == 500
    assert client.send(GET % b"livez").answer().body == b"ok\n"
    assert "what nobody thought of" in caplog.text and "/api/v1/track" in caplog.text
