"""Heads that are known already: read as if they were not."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.gateway.head import Head, KnownHeads
from tests.ingest.test_gateway_connection import Running, chunked, echo, post

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
    if kind == "empty lines":
        return b"\r\n" + post(body), b"/" + body
    header = {"plain": b"x-a: b", "other": b"x-a: c", "expects": b"expect: 100-continue"}[kind]
    return post(body, header), b"/" + body


KINDS = ["plain", "other", "chunked", "get", "empty lines"]
# Also such as look like the end of a head or a head themselves.
BODIES = st.sampled_from([b"abc", b"xyz", b"\r\n\r\n", KNOWN, HEAD, b""]) | st.binary(max_size=9)
REQUESTS = st.lists(st.tuples(st.sampled_from(KINDS), BODIES), min_size=1, max_size=12)


@given(REQUESTS, st.lists(st.integers(0, 2_000), max_size=6), st.booleans())
@example([("plain", b"abc")] * 3 + [("plain", KNOWN)] * 3, [], False)
@example([("plain", b"abc"), ("chunked", b"abc"), ("plain", b"xyz")] * 3, [], True)
def test_every_request_is_answered_however_often_its_head_came(
    requests: list[tuple[str, bytes]], cuts: list[int], one_by_one: bool
) -> None:
    """Each by itself, or all of them cut anywhere."""
    running = Running(echo)
    try:
        asked = [request(kind, body) for kind, body in requests]
        client = running.client()
        if one_by_one:
            for data, wanted in asked:
                assert client.send(data).answer().body == wanted
        else:
            stream = b"".join(data for data, _ in asked)
            places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
            for start, end in pairwise(places):
                client.send(stream[start:end])
            for _, wanted in asked:
                assert client.answer().body == wanted
    finally:
        running.close()
    assert running.server.buffered == 0
    assert running.troubles == []


def test_only_what_comes_again_over_a_connection_is_known() -> None:
    running = Running(echo)
    try:
        for _ in range(3):
            assert running.client().send(KNOWN).answer().body == b"/abc"
        assert running.server.heads._heads == {}
        client = running.client()
        for data in (
            KNOWN,
            KNOWN,
            KNOWN.replace(b"abc", b"xyz"),
            post(b"expected", b"expect: 100-continue"),
        ):
            client.send(data)
            client.answer()
        assert list(running.server.heads._heads) == [HEAD]
    finally:
        running.close()
