"""What a tracker's module gives: how its requests are read, and how it answers. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ingest.pageview import PageView
from ingest.refusals import Refusal
from ingest.reply import Headers as Headers
from ingest.reply import Reply as Reply

# What any of them, the pixel or the script looks at, in lower case.
HEADERS = (
    *("accept-encoding", "accept-language", "authorization", "content-encoding", "host"),
    *("if-none-match", "origin", "referer"),
)

CORS_ANY: Headers = (("Access-Control-Allow-Origin", "*"),)
# What says in every door why an event was not taken, where the original says nothing.
REFUSED_HEADER = "X-Tracker-Refused"


class DoorRequest(NamedTuple):
    """`query` is without its “?”; `headers` are those of `HEADERS` that came."""

    method: str
    query: str
    body: bytes
    headers: Mapping[str, str]


class Event(NamedTuple):
    """One event in our terms. `fields` are those of `TrackRequest`.

    `address` and `agent` are the visitor's, where the sender speaks for one. `names_browser`: the
    `user_id` is of a cookie or a device, not of a user whom the site knows. Where `fields` names no
    site, it is the first of `sites` that is one.
    """

    fields: dict[str, Any]
    address: str = ""
    agent: str = ""
    names_browser: bool = False
    sites: tuple[str, ...] = ()


# None: it was understood, and there is nothing in it that is counted.
Read = Event | Refusal | None
# What became of it.
Outcome = PageView | Refusal | None


def cors_for_origin(request: DoorRequest) -> Headers:
    """For scripts that send cookies along: nothing here looks at them, but browsers then want the
    origin to be named."""
    return (
        ("Access-Control-Allow-Origin", request.headers.get("origin", "*")),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )


def _cors_any(request: DoorRequest) -> Headers:
    return CORS_ANY


@dataclass(frozen=True)
class Endpoint:
    """One path of a tracker.

    `read` raises `Refusal` for what is no request of it at all; `answer` has an outcome for each
    event that was read, in order; `refuse` answers when nothing of the request was taken. `names`
    are the sender's names of our fields, for what is told about them.
    """

    path: str
    methods: tuple[str, ...]
    read: Callable[[DoorRequest], list[Read]]
    answer: Callable[[DoorRequest, Sequence[Outcome]], Reply]
    refuse: Callable[[DoorRequest, Refusal], Reply]
    names: Mapping[str, str] = field(default_factory=dict)
    cors: Callable[[DoorRequest], Headers] = _cors_any
    preflight: Headers = ()
    preflight_status: int = 204

    @property
    def allowed(self) -> str:
        """For the header Allow."""
        return ", ".join((*self.methods, "OPTIONS"))


def told(refusal: Refusal, names: Mapping[str, str]) -> str:
    """What is wrong, in the sender's terms."""
    field = names.get(refusal.field or "", refusal.field)
    return f"{field}: {refusal.reason}" if field else refusal.reason


def in_header(said: str) -> str:
    """Without what a header can't hold: a sender's own words may be in it."""
    return "".join(c if " " <= c <= "~" else "?" for c in said)


def refusals(outcomes: Sequence[Outcome]) -> list[Refusal]:
    return [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
