"""One contract, two doors: whatever is sent, the DRF door behind Daphne and the gateway answer
the same, byte for byte, apart from ids and receipts that are made for the answer."""

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.too_large import MOST_HEAD_BYTES
from tests.conftest import Servers, make_topic, run_command
from tests.ingest.doors.test_runner import VALID, changed
from tests.ingest.doors.test_runner import objects as door_fields
from tests.ingest.doors.tracker_door import CHROME, GOOGLEBOT
from tests.tracker_site.web import Gateway, Web

LIMIT = 200_000
TRACK, BATCH = "/api/v1/track", "/api/v1/track/batch"
EVENT: dict[str, Any] = {"user_id": "user123", "page_url": "/home", "timestamp": 1730814562}
JSON_TYPE = "application/json"

# One pair of servers for all of them.
pytestmark = [pytest.mark.xdist_group("contract"), pytest.mark.any_database]


@dataclass(frozen=True)
class Said:
    """What of an answer belongs to the contract."""

    status: int
    headers: dict[str, str]
    body: bytes


class Doors:
    """Both doors, each with a connection that is kept."""

    def __init__(self, *doors: Web) -> None:
        self.doors = doors
        self._connections: dict[Web, socket.socket] = {}

    def agree(self, *pieces: bytes, head: bool = False) -> Said:
        """Send a request in these pieces to both; their answer is the same."""
        framework, gateway = [self._ask(door, pieces, head) for door in self.doors]
        assert gateway == framework
        return gateway

    def post(self, body: Any, path: str = TRACK, **headers: str) -> Said:
        """Headers are named like `content_type`."""
        return self.agree(request(body, path, **headers))

    def _ask(self, door: Web, pieces: tuple[bytes, ...], head: bool) -> Said:
        try:
            return self._ask_once(door, pieces, head)
        except (ConnectionError, BrokenPipeError):
            # The door had closed the connection after its last answer, as it may.
            return self._ask_once(door, pieces, head)

    def _ask_once(self, door: Web, pieces: tuple[bytes, ...], head: bool) -> Said:
        connection = self._connections.pop(door, None) or door.connect()
        try:
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(0.005)
                connection.sendall(piece)
            with HTTPResponse(connection, method="HEAD" if head else "POST") as response:
                response.begin()
                body = response.read()
        except OSError:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._connections[door] = connection
        names = (
            "content-type", "retry-after", "allow", "x-tracker-bot", "x-tracker-refused",
            "x-plausible-dropped", "x-goatcounter", "www-authenticate", "vary", "cache-control",
            "etag", "content-encoding", "cross-origin-resource-policy",
        )  # fmt: skip
        headers = {
            name.lower(): value
            for name, value in response.getheaders()
            if name.lower() in names or name.lower().startswith("access-control-")
        }
        return Said(response.status, headers, masked(body))

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def masked(body: bytes) -> bytes:
    """Without what is made anew for each answer."""
    body = re.sub(rb'"receipt":"\d+-\d+"', b'"receipt":""', body)
    return re.sub(rb'"id":"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}"', b'"id":""', body)


def request(body: Any, path: str = TRACK, method: str = "POST", **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content_type": JSON_TYPE} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value]
    head = [f"{method} {path} HTTP/1.1", "host: localhost", *lines, f"content-length: {len(data)}"]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + data


@pytest.fixture(scope="module")
def doors(
    tmp_path_factory: pytest.TempPathFactory, embedded_servers: Servers, migrated_database: str
) -> Iterator[Doors]:
    add_sites = (
        "from ingest.models import Site; Site.objects.get_or_create(public_id='localhost');"
        "Site.objects.get_or_create(public_id='closed.example', active=False);"
        "Site.objects.get_or_create(public_id='private.example', honour_opt_out=True);"
        "Site.objects.get_or_create(public_id='strict.example', allowed_hostnames='*.a.example');"
        "Site.objects.update_or_create(public_id='shop.example', defaults={'path_rules': ''})"
    )
    run_command(migrated_database, "shell", "-v0", "-c", add_sites)
    environment = {
        "DATABASE_URL": migrated_database,
        "REDIS_URL": embedded_servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_servers.bootstrap_servers,
        "KAFKA_TOPIC": make_topic(embedded_servers),
        "MAX_BODY_BYTES": str(LIMIT),
        "RATE_LIMIT_ADDRESS": "0",
        "SECRET_KEY": "the-same-for-both-doors-so-that-visitors-are-the-same",
    }
    running = [kind(tmp_path_factory.mktemp(kind.__name__), environment) for kind in (Web, Gateway)]
    with ExitStack() as stack:
        for door in running:
            stack.callback(door.stop)
            door.spawn()
        for door in running:
            door.wait_ready()
        doors = Doors(*running)
        stack.callback(doors.close)
        yield doors


# --- Every field and limit -------------------------------------------------------------

FULL = EVENT | {
    "site": "localhost", "event_id": "mine", "name": "signup", "title": "Home",
    "referrer": "https://news.example/", "screen": "1920x1080", "language": "en-GB",
    "props": {"plan": "pro", "seats": 3, "trial": True, "ratio": 0.5, "gone": None},
    "page_url": "https://www.example.com/a?x=1&utm_source=mail&ref=other#top",
}  # fmt: skip
FIELDS: list[tuple[str, list[Any]]] = [
    ("page_url", [
        None, "", "home", 5, [], {}, True, "/", "/a?b=c#d", "/" + "ä" * 100, "/a\u0000b",
        "/a\nb", "/" + "a" * 2_047, "/" + "a" * 2_048, "/" + "a" * 4_095, "/" + "a" * 4_096,
        "ftp://a.example/", "http://", "http://[::1", "http://[::1]/x", "https://a.example",
        "HTTPS://A.EXAMPLE/x", "//a.example/x", "https://u:p@a.example:8443/x", "javascript:1",
        "https://a.example/?" + "&".join(f"a{n}=1" for n in range(300)), "/%zz?utm_source=%ff",
        "/\U0001f600?utm_source=\U0001f600", "http://xn--bcher-kva.example/",
        "http://bücher.example/",
    ]),
    ("user_id", [
        None, "", "u", "u" * 256, "u" * 257, 5, -(2**53), 2**53, 2**53 + 1, 1.5, True, [],
    ]),
    ("timestamp", [
        None, 0, 1, -1, 946_684_799, 946_684_800, 1730814562, 1730814562.5, 1730814562123, 10**15,
        10**30, 1e300, -1e308, -0.0, "2026-11-23T08:15:00Z", "2026-11-23",
        "2026-11-23T08:15:00+02:00", "1730814562", "yesterday", "", "9999-12-31T23:59:59-23:59",
        True, [], {"a": 1},
    ]),
    ("queue_time", [None, 0, 1, 1_500, -1, 2_592_000_000, 2_592_000_001, 1.5, "1", True, []]),
    ("site", [None, "", "localhost", "nowhere.example", "closed.example", "s" * 100, "s" * 101, 1]),
    ("event_id", [None, "", "x", "x" * 128, "x" * 129, "\u0000", "é", 7]),
    ("name", [None, "", "pageview", "n" * 100, "n" * 101, 3]),
    ("title", [None, "", "t" * 1_000, "t" * 1_001, "\u2028\u2029<&>\"'\\/", 3]),
    ("referrer", [None, "", "r" * 4_096, "r" * 4_097, 3]),
    ("screen", [None, "", "s" * 20, "s" * 21, 3]),
    ("language", [None, "", "l" * 35, "l" * 36, 3]),
    ("time_zone", [None, "", "UTC", "Mars/Olympus", "z" * 64, "z" * 65, 3]),
    ("headless", [None, True, False, 1, "true", []]),
    ("props", [
        None, {}, [], "x", {"": 1}, {"k" * 100: 1}, {"k" * 101: 1}, {"a": "v" * 500},
        {"a": "v" * 501}, {"a": 2**53}, {"a": 2**53 + 1}, {"a": 1e308}, {"a": {}}, {"a": []},
        {str(n): n for n in range(30)}, {str(n): n for n in range(31)}, {"\u0000": "\u0000"},
    ]),
    ("unknown", [None, 1, "x", {"deep": [1, {"er": None}]}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in FIELDS for value in values]
)
def test_they_agree_on_every_field(doors: Doors, field: str, value: Any) -> None:
    said = doors.post(FULL | {field: value})
    assert said.status in (202, 400, 403)
    if said.status != 202:
        assert json.loads(said.body)["error"]["field"].startswith(field)


@pytest.mark.parametrize(
    "url", ["https://x.a.example/", "https://a.example/", "https://b.example/"]
)
def test_they_agree_on_hostnames(doors: Doors, url: str) -> None:
    doors.post(EVENT | {"site": "strict.example", "page_url": url})


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"}", b"{}", b"[]", b'"x"', b"5", b"null", b"true", b"NaN", b"\xff\xfe",
        b"\xef\xbb\xbf{}", b'{"page_url":"/\xff"}', b'{"page_url":"\\ud800"}',
        b'{"page_url":"/\\ud83d\\ude00"}', b'{"page_url":"/","page_url":"/b"}',
        b'{"page_url":"/",}', b'{"page_url":"/"} x', b'{"page_url":"/" "a"}', b"{'page_url':'/'}",
        b'{"page_url":"/","props":{"a":1e999}}', b'{"page_url":"/","timestamp":1e999}',
        b'{"page_url":"/","timestamp":Infinity}', b'{"page_url":"/","user_id":01}',
        b'{"page_url":"/","x":' + b"[" * 500 + b"]" * 500 + b"}",
        b"[" * 100_000, b'{"a":' * 30_000, b'{"page_url":"/","x":' + b"[" * 50_000,
        b"\x00" * 100, b'{"page_url":"/\x00"}', b'{"\\u0000":1,"page_url":"/"}',
        b'{"page_url":"/","user_id":"\\ud83d"}', b'{"page_url": "/\\u0000"}',
        b'{"page_url":"/' + b"x" * 150_000 + b'"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [TRACK, BATCH])
def test_they_agree_on_malformed_bodies(doors: Doors, path: str, body: bytes) -> None:
    assert doors.post(body, path).status in (202, 400)


@pytest.mark.parametrize(
    "events",
    [
        [], [EVENT], [EVENT] * 1_000, [EVENT] * 1_001, [{}], [None], [5, "x", []], 5, {}, None,
        [EVENT, {"page_url": 5}, EVENT | {"event_id": "x"}], [EVENT | {"site": "nowhere"}],
        [EVENT | {"props": {"a": {}}}] * 3, [[EVENT]],
    ],
)  # fmt: skip
def test_they_agree_on_batches(doors: Doors, events: Any) -> None:
    doors.post({"events": events}, BATCH)
    doors.post({"events": events, "more": 1}, BATCH)


# --- Methods, media types, headers ------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [TRACK, BATCH, f"{TRACK}?a=b"])
def test_they_agree_on_other_methods(doors: Doors, method: str, path: str) -> None:
    said = doors.agree(request(b"", path, method), head=method == "HEAD")
    assert (said.status, said.headers["allow"]) == (405, "POST, OPTIONS")


def test_they_agree_on_preflights(doors: Doors) -> None:
    for path in (TRACK, BATCH):
        said = doors.agree(
            request(b"", path, "OPTIONS", origin="https://a.example",
                    access_control_request_method="POST",
                    access_control_request_headers="content-type")
        )  # fmt: skip
        assert said.status == 204
        assert said.headers["access-control-allow-origin"] == "*"
        assert said.headers["access-control-allow-headers"] == "Content-Type"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json", "text/plain", "text/plain;charset=UTF-8", "Application/JSON ; a=b",
        "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/jsonp", "*/*", "json", "", ";", "application/json, text/plain", "\xe4/\xf6",
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [json.dumps(EVENT).encode(), b""])
def test_they_agree_on_media_types(doors: Doors, media_type: str, body: bytes) -> None:
    assert doors.post(body, content_type=media_type).status in (202, 400, 415)


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml", "x", "image/*;q=1"])
def test_they_agree_whatever_is_accepted(doors: Doors, accept: str) -> None:
    assert doors.post(EVENT, accept=accept).status == 202
    assert doors.post({}, accept=accept).headers["content-type"] == JSON_TYPE


BRANDS = '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"'


@pytest.mark.parametrize(
    ("headers", "event", "reason"),
    [
        ({"user_agent": "Mozilla/5.0"}, {}, None),
        ({"user_agent": "curl/8.5.0"}, {}, "crawler"),
        ({"user_agent": "curl/8.5.0"}, {"user_id": "u"}, None),
        ({"user_agent": "\xff" * 2_000}, {}, None),
        ({"user_agent": "Mozilla/5.0 \xc3\x85"}, {}, None),
        ({"sec_ch_ua": BRANDS, "sec_ch_ua_mobile": "?1", "sec_ch_ua_platform": '"Windows"'}, {},
         None),
        ({"sec_ch_ua": "\xff" * 2_000, "sec_ch_ua_platform_version": "\xff"}, {}, None),
        ({"x_tracker_internal": "1"}, {}, "internal"),
        ({"x_tracker_internal": ""}, {}, None),
        ({}, {"headless": True}, "headless"),
        ({}, {"referrer": "https://semalt.com/"}, "referrer_spam"),
    ],
)  # fmt: skip
def test_they_agree_on_who_is_a_bot(
    doors: Doors, headers: dict[str, str], event: dict[str, Any], reason: str | None
) -> None:
    said = doors.post({"page_url": "/"} | event, **headers)
    assert said.status == 202
    assert said.headers.get("x-tracker-bot") == reason


def test_they_agree_on_the_bots_of_a_batch(doors: Doors) -> None:
    events = [{"page_url": "/", "headless": True}, {"page_url": "/"}, {"page_url": 5}]
    said = doors.post({"events": events}, BATCH, user_agent="curl/8.5.0")
    assert said.headers["x-tracker-bot"] == "crawler, headless"
    said = doors.post({"events": [{"page_url": "/", "user_id": "u"}]}, BATCH)
    assert "x-tracker-bot" not in said.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"dnt": "1"}, {"sec_gpc": "1"}, {"DNT": " 1 "}, {"dnt": "0"}, {"sec_gpc": "?1"},
        {"dnt": "1", "sec_gpc": "1"}, {"sec_gpc": "1", "dnt": "0"}, {"dnt": "1", "sec_gpc": "0"},
        {"dnt": "\xe4"}, {"dnt": ""},
    ],
)  # fmt: skip
@pytest.mark.parametrize("site", ["localhost", "private.example"])
def test_they_agree_on_opt_outs(doors: Doors, headers: dict[str, str], site: str) -> None:
    said = doors.post(EVENT | {"site": site}, **headers)
    asks = "1" in {value.strip() for value in headers.values()}
    assert said.status == (403 if asks and site == "private.example" else 202)


def test_they_agree_on_paths_written_otherwise(doors: Doors) -> None:
    assert doors.post(EVENT, f"{TRACK}?x=%20&y").status == 202
    assert doors.post(EVENT, "/api/v1/%74rack").status == 202


# --- The pixel and the script ------------------------------------------------------------


def got(path: str, method: str = "GET", **headers: str) -> bytes:
    """A request as a browser sends it: without a body and its type."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: localhost", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("page_url=/a&site=localhost&title=Gr%C3%B6%C3%9Fe", {}, 200),
        ("site=localhost", {"referer": "https://shop.example/a?utm_source=mail"}, 200),
        ("", {"referer": "https://shop.example/"}, 200),
        ("page_url=/b&event_id=mine&name=opened&props=x", {"referer": "about:blank"}, 200),
        ("page_url=/a", {"user_agent": "curl/8.5.0"}, 200),
        ("page_url=/a", {"x_tracker_internal": "1"}, 200),
        ("page_url=/a", {"content_type": "application/xml"}, 200),
        ("page_url=/a&page_url=home", {}, 400),
        ("", {}, 400),
        ("?", {}, 400),
        ("page_url=%ff%fe&&=&%", {}, 400),
        ("page_url=/%00", {}, 400),
        ("page_url=/" + "a" * 5_000, {}, 400),
        ("&".join(f"a{n}=1" for n in range(100)), {}, 400),
        ("page_url=/&site=nowhere.example", {}, 403),
        ("page_url=/&site=closed.example", {}, 403),
        ("page_url=/&site=private.example", {"dnt": "1"}, 403),
        ("page_url=/&site=strict.example", {"referer": "https://b.example/"}, 200),
        ("site=strict.example", {"referer": "https://b.example/"}, 403),
    ],
)  # fmt: skip
def test_they_agree_on_the_pixel(
    doors: Doors, query: str, headers: dict[str, str], status: int
) -> None:
    said = doors.agree(got(f"{TRACK}.gif?{query}", **headers))
    assert (said.status, said.headers["cache-control"]) == (status, "no-store")
    assert said.headers["content-type"] == ("image/gif" if status == 200 else JSON_TYPE)
    assert said.headers["access-control-allow-origin"] == "*"


def test_they_agree_on_the_pixels_bots(doors: Doors) -> None:
    said = doors.agree(got(f"{TRACK}.gif?page_url=/", user_agent="curl/8.5.0"))
    assert said.headers["x-tracker-bot"] == "crawler"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [f"{TRACK}.gif", "/js/t.js", "/js/options.js"])
def test_they_agree_on_how_the_pixel_and_the_script_are_got(
    doors: Doors, path: str, method: str
) -> None:
    said = doors.agree(request(b"", path, method), head=method == "HEAD")
    if method == "HEAD" and path.endswith(".js"):
        assert said.status == 200
    else:
        allowed = "GET" if path.endswith(".gif") else "GET, HEAD"
        assert (said.status, said.headers["allow"]) == (405, allowed)


def test_they_agree_on_the_pixels_preflight(doors: Doors) -> None:
    asked = got(f"{TRACK}.gif", "OPTIONS", origin="https://a.example",
                access_control_request_method="GET")  # fmt: skip
    assert doors.agree(asked).status == 204


@pytest.mark.parametrize("path", ["/js/t.js", "/js/options.js"])
@pytest.mark.parametrize("accepts", ["gzip, deflate, br, zstd", "br", None])
def test_they_agree_on_the_script(doors: Doors, path: str, accepts: str | None) -> None:
    headers = {} if accepts is None else {"accept_encoding": accepts}
    said = doors.agree(got(path, **headers))
    assert said.status == 200 and said.body
    assert said.headers["cache-control"] == "public, max-age=3600"
    assert ("content-encoding" in said.headers) == (accepts is not None and "gzip" in accepts)
    version = said.headers["etag"].removeprefix('W/"').removesuffix('"')
    for query, seconds in (("", 3_600), (f"v={version}", 31_536_000), ("v=another", 3_600)):
        for tags in ('W/"x"', f'"x", W/"{version}"', f'"{version}"', "*", version, ""):
            again = doors.agree(got(f"{path}?{query}", if_none_match=tags, **headers))
            known = tags == "*" or f'"{version}"' in tags
            assert again.status == (304 if known else 200)
            assert again.body == (b"" if known else said.body)
            assert f"max-age={seconds}" in again.headers["cache-control"]
            assert again.headers["etag"] == said.headers["etag"]


def test_they_agree_on_a_header_that_comes_twice(doors: Doors) -> None:
    etag = doors.agree(got("/js/t.js")).headers["etag"]
    head = got("/js/t.js", if_none_match='"x"').removesuffix(b"\r\n")
    assert doors.agree(head + f"if-none-match: {etag}\r\n\r\n".encode()).status == 304


# --- The formats of other trackers -------------------------------------------------------


@pytest.mark.parametrize(("path", "query", "body"), VALID)
@pytest.mark.parametrize("agent", [CHROME, GOOGLEBOT, "python-requests/2.34", ""])
def test_they_agree_on_other_trackers(
    doors: Doors, path: str, query: str, body: Any, agent: str
) -> None:
    headers = {"origin": "https://shop.example", "authorization": "Bearer shop.example"}
    method = "GET" if body is None else "POST"
    sent = request(
        b"" if body is None else body,
        f"/{path}?{query}", method, user_agent=agent, accept_language="de", **headers,
    )  # fmt: skip
    said = doors.agree(sent)
    assert said.status in (200, 202, 204)
    assert "x-tracker-refused" not in said.headers


@pytest.mark.parametrize("path", sorted({path for path, _, _ in VALID}))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"requests":5}', b"\xff"])
def test_they_agree_on_what_is_none_of_theirs(
    doors: Doors, path: str, method: str, body: bytes
) -> None:
    said = doors.agree(request(body, f"/{path}", method), head=method == "HEAD")
    assert said.status in (200, 202, 204, 400, 401, 405)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(valid=st.sampled_from(VALID), change=door_fields, packed=st.booleans())
def test_they_agree_on_anything_of_other_trackers(
    doors: Doors, valid: tuple[str, str, Any], change: dict[str, Any], packed: bool
) -> None:
    path, query, right = valid
    body = json.dumps(changed(right, change)).encode()
    headers = {"authorization": "Bearer shop.example"}
    if packed:
        body, headers = gzip.compress(body), headers | {"content_encoding": "gzip"}
    said = doors.agree(request(body, f"/{path}?{query}", **headers))
    assert said.status in (200, 202, 204, 400, 401, 405, 414)


# --- How bodies come --------------------------------------------------------------------


def chunked(body: bytes, *sizes: int) -> list[bytes]:
    """The request with its body in chunks of these sizes."""
    head = f"POST {TRACK} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON_TYPE}\r\n"
    pieces = [f"{head}transfer-encoding: chunked\r\n\r\n".encode()]
    at = 0
    for size in [*sizes, len(body)]:
        part = body[at : at + size]
        at += len(part)
        if part:
            pieces.append(b"%x\r\n%s\r\n" % (len(part), part))
    return [*pieces, b"0\r\n\r\n"]


@pytest.mark.parametrize("body", [json.dumps(FULL).encode(), b"{", b'{"page_url":"/\xc3\xa4"}'])
def test_they_agree_on_chunked_and_split_bodies(doors: Doors, body: bytes) -> None:
    whole = doors.post(body)
    assert doors.agree(b"".join(chunked(body, 1, 2, 3))) == whole
    assert doors.agree(*chunked(body, 1, 5)) == whole
    plain = request(body)
    middle = len(plain) - len(body) // 2
    assert doors.agree(plain[:10], plain[10:middle], plain[middle:]) == whole
    assert doors.agree(*(plain[n : n + 1] for n in range(len(plain)))) == whole


def test_they_agree_on_bodies_that_are_too_large(doors: Doors) -> None:
    assert doors.post(b" " * (LIMIT - 10) + b"{}").status == 400
    for size in (LIMIT + 1, 10_000_000):
        head = request(b"")[: -len("content-length: 0\r\n\r\n")]
        declared = head + f"content-length: {size}\r\n\r\n".encode()
        assert doors.agree(declared + b" " * min(size, LIMIT + 1)).status == 413
    assert doors.agree(b"".join(chunked(b" " * (LIMIT + 1), 50_000))).status == 413


def test_they_agree_on_heads_that_are_too_large(doors: Doors) -> None:
    """Both take the largest; how far beyond it they begin to refuse is the servers' own."""
    first = f"POST {TRACK} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON_TYPE}\r\n".encode()
    line = b"x-filling: " + b"x" * 1_000 + b"\r\n"
    length = b"content-length: 2\r\n\r\n{}"
    most = (MOST_HEAD_BYTES - len(first + length)) // len(line)
    assert doors.agree(first + line * most + length).status == 400
    assert doors.agree(first + line * 3 * most + length).status == 431
    assert doors.agree(b"GET /" + b"a" * 3 * MOST_HEAD_BYTES).status == 431


def test_they_agree_on_who_waits_for_a_word(doors: Doors) -> None:
    """`Expect: 100-continue`, as curl sends it with large bodies."""
    body = json.dumps(EVENT).encode()
    whole = request(body, expect="100-continue")
    assert doors.agree(whole[: -len(body)], body).status == 202


# --- Whatever anybody may send ----------------------------------------------------------

texts = st.text(st.characters(exclude_categories=[]), max_size=30)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
names = st.sampled_from([*FULL, "unknown"])
bodies = st.one_of(
    st.dictionaries(names, values, max_size=6).map(lambda change: FULL | change),
    st.dictionaries(names | texts, values, max_size=6),
    values,
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies, path=st.sampled_from([TRACK, BATCH]), cut=st.integers(0, 200))
def test_they_agree_on_anything(doors: Doors, body: bytes, path: str, cut: int) -> None:
    whole = request(body, path)
    said = doors.agree(*filter(None, (whole[:cut], whole[cut:])))
    assert said.status in (202, 400, 403)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(bodies, min_size=1, max_size=8))
def test_they_agree_on_any_batch(doors: Doors, events: list[bytes]) -> None:
    assert doors.post(b'{"events":[' + b",".join(events) + b"]}", BATCH).status in (202, 400)
