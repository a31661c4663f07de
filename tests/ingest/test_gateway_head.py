"""Heads that are known already: read as if they were not."""

import asyncio
from itertools import accumulate, pairwise
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.gateway.connection import Connection
from ingest.gateway.head import Head, KnownHeads
from ingest.gateway.server import Server
from tests.ingest.gateway_server import LIMIT, Serve, chunked, echo, post
from tests.ingest.gateway_server import serve as serve

KNOWN = post(b"abc")
HEAD = KNOWN.removesuffix(b"abc")


def learned(head_bytes: bytes = HEAD, length: int = 3) -> tuple[KnownHeads, Head]:
    heads, head = KnownHeads(), Head()
    head.length = length
    heads.learn(head_bytes, head)
    return heads, head


def test_a_known_head_is_found_before_another_body() -> None:
    heads, head = learned()
    assert heads.find(HEAD + b"xyz") == (HEAD, head)


def test_nothing_is_found_unless_all_of_it_has_come_and_nothing_else() -> None:
    heads, _ = learned()
    for body in (b"", b"xy", b"xyz" + KNOWN):
        assert heads.find(HEAD + body) == (HEAD, None)
    assert heads.find(HEAD[:-1])[1] is None
    assert heads.find(HEAD.replace(b"localhost", b"localhosT") + b"xyz")[1] is None


def test_heads_are_bounded_in_size_and_number() -> None:
    heads, _ = learned(b"a" * KnownHeads.MOST_BYTES + b"\r\n\r\n")
    assert heads.find(b"a" * KnownHeads.MOST_BYTES + b"\r\n\r\nxyz")[1] is None
    for number in range(3 * KnownHeads.MOST_HEADS):
        heads.learn(b"%d\r\n\r\n" % number, Head())
    assert len(heads._heads) <= KnownHeads.MOST_HEADS


def request(kind: str, body: bytes) -> tuple[bytes, bytes]:
    """One that a connection may send, and what `echo` answers."""
    if kind == "get":
        return b"GET /%s HTTP/1.1\r\n\r\n" % body.hex().encode(), b"/" + body.hex().encode()
    if kind == "chunked":
        return chunked(body + b"."), b"/" + body + b"."
    if kind == "empty line":
        return b"\r\n" + post(body), b"/" + body
    return post(body, b"x-a: " + kind.encode()), b"/" + body


class Wire:
    """The other end of a connection, which brings pieces as they are cut here and nowhere else."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def bodies(self) -> list[bytes]:
        """Of what was answered."""
        found, rest = [], self.written
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            found.append(rest[:length])
            rest = rest[length:]
        return found

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "192.0.2.1", 1

    def is_closing(self) -> bool:
        return False


# Also such as look like the end of a head or a head themselves.
BODIES = st.sampled_from([b"abc", b"xyz", b"\r\n\r\n", KNOWN, HEAD, b""]) | st.binary(max_size=9)
KINDS = st.sampled_from(["plain", "other", "chunked", "get", "empty line"])
CUTS = st.lists(st.integers(0, 2_000), max_size=6)


@given(st.lists(st.tuples(KINDS, BODIES), min_size=1, max_size=12), CUTS, st.booleans())
@example([("plain", b"abc")] * 3 + [("plain", KNOWN)] * 3, [], True)
@example([("plain", b"abc"), ("chunked", b"abc"), ("plain", b"xyz")] * 3, [], True)
# As many bytes of the second body come with its head as the first one has.
@example([("plain", b"abc"), ("other", b"0123456"), ("other", b"7890abc")], [140, 214], True)
def test_every_request_is_read_as_it_is_however_often_its_head_came(
    requests: list[tuple[str, bytes]], cuts: list[int], each_begins_a_piece: bool
) -> None:
    asked = [request(kind, body) for kind, body in requests]
    stream = b"".join(data for data, _ in asked)
    places = {0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)}
    if each_begins_a_piece:
        places |= set(accumulate(len(data) for data, _ in asked))
    server, wire = Server(echo, LIMIT), Wire()
    connection = Connection(server)
    connection.connection_made(cast(asyncio.Transport, wire))
    for start, end in pairwise(sorted(places)):
        connection.data_received(stream[start:end])
    assert wire.bodies() == [wanted for _, wanted in asked]
    assert server.buffered == 0


def test_only_what_comes_again_over_a_connection_is_known(serve: Serve) -> None:
    running = serve(echo)
    for _ in range(3):
        assert running.client().send(KNOWN).answer().body == b"/abc"
    assert running.server.heads._heads == {}
    client = running.client()
    for body, *headers in [(b"abc",), (b"abc",), (b"xyz",), (b"expected", b"expect: 100-continue")]:
        client.send(post(body, *headers))
        client.answer()
    assert list(running.server.heads._heads) == [HEAD]


def test_a_connection_whose_heads_never_come_again_is_not_looked_at(serve: Serve) -> None:
    running = serve(echo)
    client = running.client()
    for number in range(200):
        assert client.send(post(b"abc", b"x-request-id: %d" % number)).answer().body == b"/abc"
    assert len(running.server.heads._heads) < 100
    running.server.heads._heads.clear()
    other = running.client()
    for _ in range(3):
        assert other.send(KNOWN).answer().body == b"/abc"
    assert list(running.server.heads._heads) == [HEAD]
