"""What the head of a request says: its first line and its headers, as far as anything looks at
them. No I/O."""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from ingest.doors.endpoint import HEADERS as DOOR_HEADERS
from ingest.opt_out import opt_out


class Head:
    """Is not changed any more once it is whole, as many requests may have the same."""

    # What few senders say is the class's alone, and takes no time to make.
    method = b""
    target = b""
    content_type = ""
    agent = ""
    forwarded_for = ""
    # Headers that few senders have: client hints, X-Tracker-Internal.
    hints: dict[str, str] | None = None
    # Headers that only the doors of other trackers look at, by the name that they know.
    others: list[tuple[str, bytes]] | None = None
    # The name of the header that asks not to be tracked.
    opt_out: str | None = None
    # How long it says that the body is, and the header lines that say so.
    length = 0
    framing = b""
    offers_upgrade = False
    is_preflight = False
    # For our word before it sends the body.
    is_waiting = False
    keep_alive = True

    @property
    def path(self) -> bytes:
        path, _, _ = self.target.partition(b"?")
        return unquote_to_bytes(path) if b"%" in path else path


class KnownHeads:
    """Heads that came whole, each in one piece with its body, by their bytes.

    Who sends on and on over one connection sends the same head again and again. What the parser
    made of it is remembered, which is right because the parser reads the same bytes alike. Only
    connections that ask again are looked at, and of these only those whose heads do come again.
    """

    # Together they take 10 MB at most.
    MOST_BYTES, MOST_HEADS = 2_000, 2_000

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[bytes, Head | None]:
        """The head with which `data` begins, as bytes; and what it says if that is known and
        `data` is nothing but this head and its whole body."""
        end = data.find(_END)
        if end < 0:
            return b"", None
        head_bytes = data[: end + len(_END)]
        head = self._heads.get(head_bytes)
        if head is not None and len(head_bytes) + head.length != len(data):
            return head_bytes, None
        return head_bytes, head

    def learn(self, head_bytes: bytes, head: Head) -> None:
        """`head` is what the parser made of `head_bytes`, the body of `head.length` came behind
        it, and nothing else."""
        if len(head_bytes) > self.MOST_BYTES:
            return
        if len(self._heads) >= self.MOST_HEADS:
            self._heads.clear()
        self._heads[head_bytes] = head


def _set_length(head: Head, value: bytes) -> None:
    head.framing += b"content-length: %s\r\n" % value
    if value.isdigit():
        head.length = int(value)


def _add_encoding(head: Head, value: bytes) -> None:
    head.framing += b"transfer-encoding: %s\r\n" % value


def _set_upgrade(head: Head, value: bytes) -> None:
    head.offers_upgrade = True


def _set_content_type(head: Head, value: bytes) -> None:
    head.content_type = value.decode("latin-1")


def _set_agent(head: Head, value: bytes) -> None:
    head.agent = value.decode("latin-1")


def _add_forwarded(head: Head, value: bytes) -> None:
    """Several headers are one list (RFC 9110 §5.3)."""
    text = value.decode("latin-1")
    head.forwarded_for = f"{head.forwarded_for},{text}" if head.forwarded_for else text


def _set_do_not_track(head: Head, value: bytes) -> None:
    head.opt_out = head.opt_out or opt_out(value.decode("latin-1"), "")


def _set_privacy_control(head: Head, value: bytes) -> None:
    head.opt_out = opt_out("", value.decode("latin-1")) or head.opt_out


def _set_preflight(head: Head, value: bytes) -> None:
    head.is_preflight = True


def _set_expectation(head: Head, value: bytes) -> None:
    head.is_waiting = value.lower() == b"100-continue"


def _hint(name: str) -> Callable[[Head, bytes], None]:
    def keep(head: Head, value: bytes) -> None:
        hints = head.hints = head.hints or {}
        text = value.decode("latin-1")
        # As WSGI and ASGI join what comes more than once.
        hints[name] = f"{hints[name]},{text}" if name in hints else text

    return keep


def _keep(name: str) -> Callable[[Head, bytes], None]:
    def keep(head: Head, value: bytes) -> None:
        """As it came: most requests are not for those doors."""
        if head.others is None:
            head.others = [(name, value)]
        else:
            head.others.append((name, value))

    return keep


_END = b"\r\n\r\n"
# By a header's name in lower case, what takes its value into a head.
READERS: dict[bytes, Callable[[Head, bytes], None]] = {
    b"content-length": _set_length,
    b"transfer-encoding": _add_encoding,
    b"upgrade": _set_upgrade,
    b"content-type": _set_content_type,
    b"user-agent": _set_agent,
    b"x-forwarded-for": _add_forwarded,
    b"access-control-request-method": _set_preflight,
    b"dnt": _set_do_not_track,
    b"sec-gpc": _set_privacy_control,
    b"expect": _set_expectation,
    b"sec-ch-ua": _hint("brands"),
    b"sec-ch-ua-mobile": _hint("mobile"),
    b"sec-ch-ua-platform": _hint("platform"),
    b"sec-ch-ua-platform-version": _hint("platform_version"),
    b"x-tracker-internal": _hint("internal"),
    **{name.encode(): _keep(name) for name in DOOR_HEADERS},
}
