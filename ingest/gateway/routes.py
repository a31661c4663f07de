"""From an HTTP request to the shared door, and its answer back."""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from ingest.acceptance import Sender
from ingest.client_address import Network, client_address
from ingest.cors import PREFLIGHT_HEADERS
from ingest.door import ALLOWED_METHODS, Answer, Door, Many, One, error_body, method_not_allowed
from ingest.gateway.connection import CORS, JSON, Request
from ingest.metrics import count_accepted, count_request

logger = logging.getLogger(__name__)

_HEADERS = JSON + CORS
_PREFLIGHT = b"".join(
    f"{name.lower()}: {value}\r\n".encode() for name, value in PREFLIGHT_HEADERS.items()
)
_ALLOW = f"allow: {ALLOWED_METHODS}\r\n".encode()


class Routes:
    """Hands each request to the endpoint that its path names.

    `is_ready` answers None, or what is missing; it must not wait.
    """

    def __init__(
        self,
        door: Door,
        proxies: Sequence[Network],
        is_ready: Callable[[], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._door = door
        self._is_ready = is_ready
        self._clock = clock
        # Those that were accepted and are not in the metrics yet.
        self._seconds: list[float] = []
        # Senders keep their connections: most requests come from few pairs of these.
        self._address = lru_cache(4_096)(partial(client_address, trusted=tuple(proxies)))
        self._readers: dict[bytes, Callable[[bytes, Sender], One | Many | Answer]] = {
            b"/api/v1/track": door.read_one,
            b"/api/v1/track/batch": door.read_many,
        }

    def handle(self, request: Request) -> None:
        """Nothing that is sent may leave a request without an answer."""
        try:
            self._dispatch(request)
        except Exception:
            logger.exception("A request to %r crashed.", request.path)
            request.answer(500, _HEADERS, error_body(None, None, "this is a bug of the tracker"))

    def _dispatch(self, request: Request) -> None:
        read = self._readers.get(request.target) or self._readers.get(request.path)
        if read is not None:
            self._track(request, read)
        elif request.path == b"/livez":
            request.answer(200, b"content-type: text/plain\r\n", b"ok\n")
        elif request.path == b"/readyz":
            self._tell_readiness(request)
        else:
            reason = "here are only /api/v1/track and /api/v1/track/batch, /livez and /readyz"
            request.answer(404, JSON, error_body(None, None, reason))

    def _track(
        self, request: Request, read: Callable[[bytes, Sender], One | Many | Answer]
    ) -> None:
        if request.method != b"POST":
            self._refuse_method(request)
            return
        address = self._address(request.peer, request.forwarded_for)
        refusal = self._door.refuse_unread(request.content_type, address)
        accepted = refusal or read(request.body, Sender(address, request.agent))
        if isinstance(accepted, Answer):
            self._answer(request, accepted)
        else:
            self._door.deliver(accepted, partial(self._delivered, request))

    def _delivered(self, request: Request, accepted: One | Many) -> None:
        self._answer(request, accepted.answer())

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
        request.answer(answer.status, headers, answer.body)

    @staticmethod
    def _refuse_method(request: Request) -> None:
        if request.method == b"OPTIONS" and request.is_preflight:
            request.answer(204, _PREFLIGHT, b"")
            return
        request.answer(405, _HEADERS + _ALLOW, method_not_allowed(request.method.decode()))

    def _tell_readiness(self, request: Request) -> None:
        missing = self._is_ready()
        if missing is None:
            request.answer(200, JSON, b'{"ready":true}')
        else:
            request.answer(503, JSON, error_body(None, None, missing))
