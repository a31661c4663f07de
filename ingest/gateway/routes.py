"""From an HTTP request to the shared door, and its answer back."""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from django.conf import settings

from ingest.acceptance import Sender
from ingest.client_address import Network, client_address
from ingest.cors import PREFLIGHT_HEADERS
from ingest.delivery import Accepted
from ingest.door import (
    ALLOWED_METHODS,
    Answer,
    Many,
    One,
    error_body,
    image_reply,
    method_not_allowed,
)
from ingest.doors.endpoint import DoorRequest, Endpoint
from ingest.doors.endpoints import ENDPOINTS
from ingest.doors.runner import Answered, TrackerDoors, preflight
from ingest.enrichment.client_hints import ClientHints, read_hints
from ingest.enrichment.steps import Told
from ingest.gateway.connection import CORS, JSON, Request
from ingest.gateway.head import Head
from ingest.metrics import count_accepted, count_request
from ingest.pixel import ALLOWED_METHODS as PIXEL_METHODS
from ingest.reply import Reply
from ingest.script_reply import script_reply
from ingest.tracker_script import NAMES, tracker_script

logger = logging.getLogger(__name__)

_HEADERS = JSON + CORS
_PREFLIGHT = b"".join(
    f"{name.lower()}: {value}\r\n".encode() for name, value in PREFLIGHT_HEADERS.items()
)
Route = Callable[[Request], None]
# Headers that few senders have, by the names that `connection` gives them.
Hints = tuple[tuple[str, str], ...]
# In characters; the headers of whoever means no harm are shorter.
_REMEMBERED_LENGTH = 500


class Routes:
    """Hands each request to the endpoint that its path names.

    `is_ready` answers None, or what is missing; it must not wait.
    """

    def __init__(
        self,
        doors: TrackerDoors,
        proxies: Sequence[Network],
        is_ready: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        door = self._door = doors.door
        self._doors = doors
        self._is_ready = is_ready
        self._clock = clock
        # Those that were accepted and are not in the metrics yet.
        self._seconds: list[float] = []
        self._proxies = tuple(proxies)
        # Senders keep their connections: most requests come from few of them.
        self._address_again = lru_cache(4_096)(client_address)
        self._told_again = lru_cache(4_096)(self._told)
        self._routes: dict[bytes, Route] = {
            b"/api/v1/track": partial(self._track, door.read_one),
            b"/api/v1/track/batch": partial(self._track, door.read_many),
            b"/api/v1/track.gif": self._draw,
            **{f"/js/{name}".encode(): _serve(name) for name in NAMES},
            **{f"/{one.path}".encode(): partial(self._translate, one) for one in ENDPOINTS},
            b"/livez": _tell_life,
            b"/readyz": self._tell_readiness,
        }

    @property
    def paths(self) -> list[str]:
        """Every one that is answered with something else than 404."""
        return [path.decode() for path in self._routes]

    def handle(self, request: Request) -> None:
        """Nothing that is sent may leave a request without an answer."""
        try:
            head = request.head
            route = self._routes.get(head.target) or self._routes.get(head.path, _refuse_path)
            route(request)
        except Exception:
            logger.exception("A request to %r crashed.", request.head.path)
            request.answer(500, _HEADERS, error_body(None, None, "this is a bug of the tracker"))

    def _track(self, read: Callable[[bytes, Told], One | Many | Answer], request: Request) -> None:
        if request.head.method != b"POST":
            self._refuse_method(request)
            return
        address = self._address(request)
        refusal = self._door.refuse_unread(request.head.content_type, address)
        accepted = refusal or read(request.body, self._of_sender(request.head, address))
        if isinstance(accepted, Answer):
            self._answer(request, accepted)
        else:
            self._door.deliver(accepted, partial(self._delivered, request))

    def _delivered(self, request: Request, accepted: Accepted[Answer]) -> None:
        self._answer(request, accepted.answer())

    def _draw(self, request: Request) -> None:
        """The pixel."""
        if request.head.method != PIXEL_METHODS.encode():
            self._refuse_method(request, PIXEL_METHODS)
            return
        asked = _door_request(request)
        referer = asked.headers.get("referer", "")
        read = self._door.read_pixel(asked.query, referer, self._sender(request))
        if isinstance(read, Answer):
            self._show(request, read)
        else:
            self._door.deliver(read, lambda accepted: self._show(request, accepted.answer()))

    def _show(self, request: Request, answer: Answer) -> None:
        count_request(answer.status, answer.field, self._clock() - request.began)
        _reply(request, image_reply(answer), CORS)

    def _translate(self, endpoint: Endpoint, request: Request) -> None:
        """A request in another tracker's format."""
        read = _door_request(request)
        if read.method == "OPTIONS":
            _reply(request, preflight(endpoint, read))
            return
        if read.method not in endpoint.methods:
            allow = f"allow: {endpoint.allowed}\r\n".encode()
            request.answer(405, JSON + allow, method_not_allowed(read.method, endpoint.allowed))
            return
        translated = self._doors.read(endpoint, read, self._sender(request))
        if isinstance(translated, Answered):
            self._reply(request, translated)
        else:
            self._door.deliver(translated, lambda accepted: self._reply(request, accepted.answer()))

    def _reply(self, request: Request, answered: Answered) -> None:
        count_request(answered.status, answered.field, self._clock() - request.began)
        _reply(request, answered.reply)

    def count(self) -> None:
        """Bring the metrics up to date. To be called about once a second."""
        seconds, self._seconds = self._seconds, []
        count_accepted(seconds)

    def _answer(self, request: Request, answer: Answer) -> None:
        seconds = self._clock() - request.began
        if answer.status == 202:
            self._seconds.append(seconds)
        else:
            count_request(answer.status, answer.field, seconds)
        headers = _HEADERS
        if answer.retry_after:
            headers += b"retry-after: %d\r\n" % answer.retry_after
        if answer.bots:
            headers += b"x-tracker-bot: %s\r\n" % answer.bots.encode()
        request.answer(answer.status, headers, answer.body)

    def _address(self, request: Request) -> str:
        """Where it comes from."""
        forwarded_for = request.head.forwarded_for
        if not forwarded_for:
            return request.peer
        is_short = len(forwarded_for) <= _REMEMBERED_LENGTH
        return (self._address_again if is_short else client_address)(
            request.peer, forwarded_for, self._proxies
        )

    def _sender(self, request: Request) -> Sender:
        head = request.head
        return _make_sender(self._address(request), head.agent, head.opt_out, _hints(head))

    def _of_sender(self, head: Head, address: str) -> Told:
        """What its sender tells."""
        agent, hints = head.agent, _hints(head)
        length = len(agent) + (sum(len(text) for _, text in hints) if hints else 0)
        told = self._told_again if length <= _REMEMBERED_LENGTH else self._told
        return told(address, agent, head.opt_out, hints)

    def _told(self, address: str, agent: str, opt_out: str | None, hints: Hints) -> Told:
        return self._door.of_sender(_make_sender(address, agent, opt_out, hints))

    @staticmethod
    def _refuse_method(request: Request, allowed: str = ALLOWED_METHODS) -> None:
        if request.head.method == b"OPTIONS" and request.head.is_preflight:
            request.answer(204, _PREFLIGHT, b"")
            return
        headers = _HEADERS + f"allow: {allowed}\r\n".encode()
        request.answer(405, headers, method_not_allowed(request.head.method.decode(), allowed))

    def _tell_readiness(self, request: Request) -> None:
        missing = self._is_ready()
        if missing is None:
            request.answer(200, JSON, b'{"ready":true}')
        else:
            request.answer(503, JSON, error_body(None, None, missing))


def _hints(head: Head) -> Hints:
    return tuple(head.hints.items()) if head.hints else ()


def _make_sender(address: str, agent: str, opt_out: str | None, hints: Hints) -> Sender:
    named = dict(hints)
    internal = named.pop("internal", "")
    of_client = read_hints(**{name: named.get(name, "") for name in ClientHints._fields})
    return Sender(address, agent, of_client, internal, opt_out)


def _refuse_path(request: Request) -> None:
    reason = "here are only the addresses that sites send to and load"
    request.answer(404, JSON, error_body(None, None, reason))


def _tell_life(request: Request) -> None:
    request.answer(200, b"content-type: text/plain\r\n", b"ok\n")


def _serve(name: str) -> Route:
    """A file of the tracker script, made once: by the time the first page asks it is there."""
    script = tracker_script(name, settings.DUPLICATE_WINDOW_MINUTES)

    def serve(request: Request) -> None:
        _reply(request, script_reply(script, _door_request(request)))

    return serve


def _door_request(request: Request) -> DoorRequest:
    _, _, query = request.head.target.partition(b"?")
    headers: dict[str, str] = {}
    for name, value in request.head.others or ():
        text = value.decode("latin-1")
        # Several headers are one list (RFC 9110 §5.3).
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return DoorRequest(
        request.head.method.decode("latin-1"), query.decode("latin-1"), request.body, headers
    )


def _reply(request: Request, reply: Reply, headers: bytes = b"") -> None:
    """`headers` are whole lines that come before its own."""
    lines = [f"{name}: {value}\r\n" for name, value in reply.headers]
    if reply.content_type:
        lines.append(f"content-type: {reply.content_type}\r\n")
    request.answer(reply.status, headers + "".join(lines).encode("latin-1"), reply.body)
