"""Requests that no client of ours would send, as hypothesis draws them."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from ingest.doors.endpoints import ENDPOINTS
from ingest.import_signature import HEADER as IMPORT_SIGNATURE
from ingest.import_signature import sign
from ingest.known import Known
from ingest.track_request import TrackRequest
from tests.hostile.hostile_values import (
    Header,
    bodies,
    few_headers,
    headers,
    pieces,
    query_of,
)
from tests.hostile.product import SITE
from tests.ingest.doors.test_runner import NAMES, VALID

Requests = st.SearchStrategy["Request"]


@dataclass(frozen=True)
class Request:
    """One whole request in bytes."""

    method: str
    target: bytes
    headers: tuple[Header, ...]
    body: bytes

    @property
    def raw(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        host = () if b"host" in names else ((b"host", b"localhost"),)
        lines = [b"%s: %s" % header for header in (*host, *self.headers)]
        first = b"%s %s HTTP/1.1" % (self.method.encode("latin-1"), self.target)
        length = b"content-length: %d" % len(self.body)
        return b"\r\n".join([first, *lines, length, b"", self.body])

    def signed(self) -> "Request":
        """As one that may import sends it."""
        name = IMPORT_SIGNATURE.lower().encode()
        others = [header for header in self.headers if header[0].lower() != name]
        return replace(self, headers=(*others, (name, sign(self.body).encode())))


JSON: Header = (b"content-type", b"application/json")
EVENT: dict[str, Any] = {"user_id": "u", "page_url": "/home", "site": SITE}
_EVENT_NAMES = [*TrackRequest.__struct_fields__]


def track_requests() -> Requests:
    """One event, as JSON that is hostile."""
    return st.builds(
        lambda body, more: Request("POST", b"/api/v1/track", (JSON, *more), body),
        bodies(EVENT, _EVENT_NAMES),
        few_headers,
    )


def batch_requests() -> Requests:
    valid = [
        {"events": [EVENT]},
        {"events": [EVENT, {"page_url": "/"}, {}]},
        {"events": [EVENT] * 40},
    ]
    return st.builds(
        lambda body, more: Request("POST", b"/api/v1/track/batch", (JSON, *more), body),
        st.sampled_from(valid).flatmap(lambda value: bodies(value, [*_EVENT_NAMES, "events"])),
        few_headers,
    )


def import_requests() -> Requests:
    """By who may import, with what is known of the events."""
    known = {"country": "DE", "browser": "Firefox", "device": "mobile"}
    names = [*_EVENT_NAMES, *Known.__struct_fields__, "events", "known"]
    return st.builds(
        lambda body, more: Request("POST", b"/api/v1/import", (JSON, *more), body).signed(),
        bodies({"events": [{**EVENT, "known": known}, {**EVENT, "known": {}}, {}]}, names),
        few_headers,
    )


def pixel_requests() -> Requests:
    names = ["site", "page_url", "event_id", "name", "title", "referrer", "user_id", "format"]
    return st.builds(
        lambda query, more: Request("GET", b"/api/v1/track.gif?" + query, more, b""),
        query_of(names) | query_of(names).map(lambda query: b"page_url=/&" + query),
        few_headers,
    )


def door_requests() -> Requests:
    """The formats of other trackers."""
    endpoints = {endpoint.path: endpoint for endpoint in ENDPOINTS}
    aliases = [(path, "", {"writeKey": SITE}) for path in endpoints if path.startswith("v1/")]
    valid = [*VALID, *aliases, ("piwik.php", f"idsite={SITE}&rec=1&url=/", None)]
    # Made once: a strategy that is made for each draw took three quarters of the time.
    return st.one_of([_door_request(*one) for one in valid])


def _door_request(path: str, query: str, right: Any) -> Requests:
    more = query_of(NAMES)
    form = st.tuples(st.just(query.encode()), more).map(b"&".join)
    body = form | st.just(b"") if right is None else bodies(right, NAMES)
    methods = ["GET", "GET", "POST"] if right is None else ["POST"] * 6 + ["GET", "PUT", "OPTIONS"]
    target = st.one_of(st.just(query.encode()), form).map(lambda q: f"/{path}?".encode() + q)
    token = st.just(((b"authorization", f"Bearer {SITE}".encode()),))
    return st.builds(Request, st.sampled_from(methods), target, token | headers, body)


_SITE_PAGES = [
    b"/sites/%s/", b"/api/v1/stats/%s/totals", b"/api/v1/stats/%s/timeseries",
    b"/api/v1/stats/%s/top", b"/api/v1/stats/%s/pages", b"/api/v1/stats/%s/now",
    b"/api/v1/receipts/%s",
]  # fmt: skip
_PAGES = [
    b"/", b"/balance", b"/metrics", b"/login", b"/logout", b"/api/v1/ledger", b"/api/schema",
    b"/api/docs", b"/js/t.js", b"/js/options.js", b"/livez", b"/admin/", b"/admin/login/",
    b"/admin/ingest/site/", b"/admin/ingest/site/add/", b"/admin/ingest/site/1/change/",
    b"/admin/dashboard/apikey/", b"/admin/jsi18n/", b"/admin/autocomplete/", b"/api/v1/track",
    b"/api/v1/track.gif", b"/count", b"/nothing",
]  # fmt: skip
_PARAMETERS = [
    "from", "to", "limit", "interval", "dimension", "value", "site", "log", "format", "period",
    "next", "v", "q", "o", "p", "e", "_popup", "page", "public_id__exact", "app", "lang",
    "id__in", "filter", "segment", "compare", "metric", "tab", "all",
]  # fmt: skip
_METHODS = ["GET"] * 12 + [
    "HEAD",
    "POST",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "FOO",
]


def page_requests(keys: dict[str, str]) -> Requests:
    """Pages, the JSON API and addresses that are none, by whoever may see them or not."""
    segment = st.sampled_from([SITE.encode()] * 8) | pieces.map(lambda piece: piece or b"x")
    within = st.tuples(st.sampled_from(_SITE_PAGES), segment).map(lambda drawn: drawn[0] % drawn[1])
    below = st.tuples(
        st.sampled_from([b"/static/", b"/admin/ingest/site/", b"/js/", b"/"]), pieces
    ).map(b"".join)
    path = within | within | st.sampled_from(_PAGES) | below
    target = st.tuples(path, st.just(b"?"), query_of(_PARAMETERS)).map(b"".join)
    who = st.sampled_from(
        [
            ((b"authorization", b"Bearer " + keys["all"].encode()),),
            ((b"authorization", b"Bearer " + keys["one"].encode()),),
            ((b"cookie", b"sessionid=" + keys["session"].encode()),),
            (),
        ]
    )
    form = query_of(["username", "password", "next", "csrfmiddlewaretoken", "data"])
    body = st.just(b"") | form | st.binary(max_size=40)
    return st.builds(
        lambda method, target, who, more, body: Request(
            method, target, (*who, *more), body if method not in ("GET", "HEAD") else b""
        ),
        st.sampled_from(_METHODS), target, who, few_headers, body,
    )  # fmt: skip


@st.composite
def broken_requests(draw: st.DrawFn, whole: Requests) -> bytes:
    """The bytes of a request or two, with some of them missing, wrong or too many."""
    raw = draw(whole).raw
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(raw.find(b"\r\n\r\n"), 1)))
        put = draw(st.sampled_from(_PUT) | st.binary(max_size=4))
        raw = raw[:at] + put + raw[at + draw(st.sampled_from([0, 0, 1, 5, 40])) :]
    return raw + draw(whole).raw if draw(st.booleans()) else raw


_PUT = [
    b"", b"\x01", b"\x7f", b"\xc3\xa4", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b"\xff",
    b" ", b"\t", b":", b"HTTP/1.0", b" HTTP/2.0\r\n", b"\r\ncontent-length: 5\r\n",
    b"\r\ncontent-length: -1\r\n", b"\r\ncontent-length: 9999999999999999999999\r\n",
    b"\r\ncontent-length: x\r\n", b"\r\ntransfer-encoding: chunked\r\n",
    b"\r\ntransfer-encoding: x, chunked\r\n",
    b"\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    b"\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n", b"\r\nhost: a\r\nhost: b\r\n",
    b"\r\nhost: \xff\r\n", b"\r\nhost: attacker.example\r\n", b"\r\nhost: localhost:x\r\n",
    b"\r\nconnection: close\r\n", b"\r\nexpect: 100-continue\r\n", b"\r\n folded\r\n",
    b"\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n",
    b"\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n", b"http://a.example",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:80", b"*", b"a" * 40_000,
    b"\r\n" + b"x: y\r\n" * 900,
]  # fmt: skip
