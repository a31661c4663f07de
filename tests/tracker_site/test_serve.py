"""`manage.py serve` and `manage.py gateway` as sites meet them: large bodies, and a stop that
fails nobody."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ingest.too_large import MOST_HEAD_BYTES
from processing.log import Log
from tests.conftest import Servers, make_topic, run_command
from tests.processing.pipeline import wait_for
from tests.tracker_site.web import Gateway, Web

LIMIT = 100_000
HEAD = b"POST /api/v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
EVENT = b'{"page_url": "/"}'
# Every request takes about so long: it waits for others that share Kafka's round trip.
LINGER_MS = 1_000

# One server for all of them.
pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def topic(embedded_servers: Servers) -> str:
    return make_topic(embedded_servers)


@pytest.fixture(scope="module")
def settings_of_web(
    embedded_servers: Servers, topic: str, migrated_database: str
) -> dict[str, str]:
    add_site = "from ingest.models import Site; Site.objects.get_or_create(public_id='localhost')"
    run_command(migrated_database, "shell", "-v0", "-c", add_site)
    return {
        "DATABASE_URL": migrated_database,
        "REDIS_URL": embedded_servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_servers.bootstrap_servers,
        "KAFKA_TOPIC": topic,
        "MAX_BODY_BYTES": str(LIMIT),
    }


@pytest.fixture(scope="module", params=[Web, Gateway])
def kind(request: pytest.FixtureRequest) -> type[Web]:
    found: type[Web] = request.param
    return found


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, settings_of_web: dict[str, str], kind: type[Web]
) -> Iterator[Web]:
    yield from running(kind(tmp_path_factory.mktemp("web"), settings_of_web))


@pytest.fixture
def slow_web(tmp_path: Path, settings_of_web: dict[str, str], kind: type[Web]) -> Iterator[Web]:
    slowly = settings_of_web | {"KAFKA_LINGER_MS": str(LINGER_MS)}
    yield from running(kind(tmp_path, slowly))


def running(web: Web) -> Iterator[Web]:
    web.start()
    yield web
    web.stop()


def answer(client: socket.socket) -> tuple[int, Any]:
    """The next answer on a connection."""
    response = HTTPResponse(client)
    response.begin()
    with response:
        return response.status, json.loads(response.read())


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection; waits for it."""
    return client.recv(1) == b""


def chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


# --- Large bodies ----------------------------------------------------------------------


def assert_refused(client: socket.socket) -> None:
    status, body = answer(client)
    assert status == 413
    assert body["error"]["field"] == "body"
    assert f"larger than {LIMIT} bytes" in body["error"]["reason"]
    assert is_closed(client)


def test_it_refuses_a_large_body_before_it_is_sent(web: Web) -> None:
    with web.connect() as client:
        client.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert_refused(client)


def test_it_refuses_a_large_body_that_is_sent_at_once(web: Web) -> None:
    with web.connect() as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1))
        client.sendall(b"x" * (LIMIT + 1))
        assert_refused(client)


def test_it_refuses_an_endless_body_of_undeclared_length(web: Web) -> None:
    with web.connect() as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LIMIT // 10_000 + 1):
            client.sendall(chunk(10_000))
        assert_refused(client)


def test_it_refuses_a_complete_body_of_undeclared_length(web: Web) -> None:
    with web.connect() as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(LIMIT + 1))
        client.sendall(b"0\r\n\r\n")
        assert_refused(client)


def test_it_lets_browsers_read_the_refusal(web: Web) -> None:
    with closing(HTTPConnection("127.0.0.1", web.port, timeout=15)) as client:
        client.request("POST", "/api/v1/track", b"x" * (LIMIT + 1), {"Origin": "https://a.example"})
        response = client.getresponse()
        assert response.status == 413
        assert response.headers["Access-Control-Allow-Origin"] == "*"


# --- Large heads -----------------------------------------------------------------------

LINE = b"X-A: " + b"a" * 1_000 + b"\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * (2 * MOST_HEAD_BYTES),
        b"GET /" + b"a" * (2 * MOST_HEAD_BYTES) + b" HTTP/1.1\r\n\r\n",
        HEAD + LINE * 70,
        HEAD + LINE * 70 + b"\r\n",
    ],
    ids=["endless-target", "target", "endless-headers", "headers"],
)
def test_it_refuses_a_large_head(web: Web, sent: bytes) -> None:
    with web.connect() as client:
        client.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
        assert answer(client)[0] == 400
        client.sendall(sent)
        status, body = answer(client)
        assert (status, body["error"]["field"]) == (431, "headers")
        assert str(MOST_HEAD_BYTES) in body["error"]["reason"]
        assert is_closed(client)


def test_it_takes_an_address_as_long_as_its_fields_may_be(web: Web) -> None:
    """Twisted by itself would close the connection without a word."""
    referrer = "https://a.example/" + "ä" * 4_000
    query = urlencode({"page_url": "/home", "site": "localhost", "referrer": referrer})
    with closing(HTTPConnection("127.0.0.1", web.port, timeout=15)) as client:
        client.request("GET", f"/api/v1/track.gif?{query}")
        response = client.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "image/gif")


@pytest.mark.parametrize("chunked", [False, True])
def test_it_takes_the_largest_body_and_keeps_the_connection(web: Web, chunked: bool) -> None:
    with web.connect() as client:
        for body in (EVENT, EVENT + b" " * (LIMIT - len(EVENT)), EVENT):
            length = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            pieces = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
                len(body),
                body,
            )
            client.sendall(HEAD + (pieces if chunked else length))
            assert answer(client)[0] == 202


# --- The stop --------------------------------------------------------------------------


def request() -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT


def accepted(servers: Servers, topic: str) -> int:
    return sum(Log(servers.bootstrap_servers, topic).ends(2).values())


def wait_until_read(web: Web) -> None:
    """Until the server has accepted every connection and read all that was sent."""
    wait_for(lambda: unread(web.port) == 0, "everything to be read")


def unread(port: int) -> int:
    """Connections and bytes that wait at a local port, as Linux counts them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    here = [row for row in rows if row[1].endswith(f":{port:04X}")]
    return sum(int(row[4].partition(":")[2], 16) for row in here)


def ask_to_stop(web: Web) -> None:
    """SIGTERM; returns once nothing new is taken."""
    assert web.process is not None
    web.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not listens(web), "the port to be closed")


def listens(web: Web) -> bool:
    try:
        web.connect().close()
    except ConnectionRefusedError:
        return False
    return True


def assert_stopped_cleanly(web: Web) -> None:
    assert web.process is not None
    assert web.process.wait(15) == 0
    log = web.log_path.read_text()
    assert "stopped cleanly" in log and "Traceback" not in log


def test_it_answers_what_is_under_way_when_it_is_stopped(
    slow_web: Web, embedded_servers: Servers, topic: str
) -> None:
    before = accepted(embedded_servers, topic)
    with ExitStack() as stack:
        clients = [stack.enter_context(slow_web.connect()) for _ in range(8)]
        for client in clients:
            client.sendall(request())
        wait_until_read(slow_web)
        ask_to_stop(slow_web)
        assert [answer(client)[0] for client in clients] == [202] * 8
        assert all(is_closed(client) for client in clients)
    assert_stopped_cleanly(slow_web)
    assert accepted(embedded_servers, topic) == before + 8


def test_it_waits_for_a_body_that_is_still_coming(slow_web: Web) -> None:
    with slow_web.connect() as slow, slow_web.connect() as quick:
        slow.sendall(request()[:-3])
        quick.sendall(request())
        wait_until_read(slow_web)
        ask_to_stop(slow_web)
        assert answer(quick)[0] == 202
        slow.sendall(request()[-3:])

        assert answer(slow)[0] == 202
        assert is_closed(slow)
    assert_stopped_cleanly(slow_web)


def test_it_stops_at_once_where_nothing_is_under_way(slow_web: Web) -> None:
    with slow_web.connect() as idle:
        ask_to_stop(slow_web)
        assert is_closed(idle)
    assert_stopped_cleanly(slow_web)


def test_it_fails_where_another_listens(web: Web, kind: type[Web], tmp_path: Path) -> None:
    second = kind(tmp_path, {}, port=web.port)
    assert second.spawn().wait(30) == 1
    said = second.log_path.read_text()
    assert "ddress already in use" in said, said
    assert "give another --port" in said, said
    assert "stopped cleanly" not in said, said
