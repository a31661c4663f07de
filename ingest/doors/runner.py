"""What every tracker's door does alike: limits, translation, acceptance, Kafka, answer."""

import zlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from django.db import DatabaseError

from ingest.delivery import Accepted
from ingest.door import NO_SITES, Door, bots_of, message_of, now_ms, unavailable
from ingest.doors.endpoint import (
    REFUSED_HEADER,
    DoorRequest,
    Endpoint,
    Event,
    Headers,
    Outcome,
    Read,
    Reply,
    in_header,
    refusals,
    told,
)
from ingest.enrichment.client_hints import NO_HINTS
from ingest.enrichment.crawler import is_program
from ingest.pageview import PageView
from ingest.refusals import Refusal
from ingest.sender import Sender
from ingest.too_large import body_too_large
from ingest.track_request import MAX_BATCH_EVENTS, read_fields

_GZIP = 31  # zlib's name for it
_MOST_SAID = 300


class Answered(NamedTuple):
    """A reply, and what our metrics count it as: the status that our own door would have answered,
    and the field that was refused."""

    reply: Reply
    status: int
    field: str | None = None


class Translated(Accepted[Answered]):
    """The events of one request, some of them refused or nothing to count."""

    __slots__ = ("_endpoint", "_outcomes", "_request")

    def __init__(
        self, endpoint: Endpoint, request: DoorRequest, outcomes: Sequence[Outcome]
    ) -> None:
        super().__init__([message_of(event) for event in outcomes if isinstance(event, PageView)])
        self._endpoint = endpoint
        self._request = request
        self._outcomes = outcomes

    def answer(self) -> Answered:
        """Success is told only of what is safe."""
        if not self.is_safe:
            return refuse(self._endpoint, self._request, unavailable(self.trouble))
        reply = self._endpoint.answer(self._request, self._outcomes)
        reply = _with_headers(
            self._endpoint, self._request, reply, _remarks(self._endpoint, self._outcomes)
        )
        refused = refusals(self._outcomes)
        if refused and not self.messages:
            return Answered(reply, refused[0].status, refused[0].field)
        return Answered(reply, 202)


class TrackerDoors:
    """The doors of all trackers, on the same acceptance and producer as our own."""

    def __init__(self, door: Door, most_body_bytes: int) -> None:
        self.door = door
        self.most_body_bytes = most_body_bytes

    def read(
        self, endpoint: Endpoint, request: DoorRequest, sender: Sender
    ) -> Translated | Answered:
        """What has to be safe before it is answered, or the answer."""
        try:
            self._check_address(sender)
            request = self._unpacked(request)
            outcomes = [
                self._outcome(read, sender, now_ms()) for read in _read_all(endpoint, request)
            ]
            self._check_sites(outcomes)
        except Refusal as refusal:
            return refuse(endpoint, request, refusal)
        except DatabaseError:
            return refuse(endpoint, request, unavailable(NO_SITES))
        return Translated(endpoint, request, outcomes)

    def _check_address(self, sender: Sender) -> None:
        throttled = self.door.throttle_address(sender.address)
        if throttled is not None:
            raise throttled

    def _check_sites(self, outcomes: Sequence[Outcome]) -> None:
        throttled = self.door.throttle_sites(o for o in outcomes if isinstance(o, PageView))
        if throttled is not None:
            raise throttled

    def _outcome(self, read: Read, sender: Sender, now: int) -> Outcome:
        if not isinstance(read, Event):
            return read
        try:
            event = read_fields(self._with_site(read))
        except Refusal as refusal:
            return refusal
        visitor = self.door.of_sender(visitor_of(sender, read))
        return self.door.try_event(event, visitor, now)

    def _with_site(self, event: Event) -> dict[str, Any]:
        known = (name for name in event.sites if self.door.knows_site(name))
        return {"site": next(known, None)} | event.fields

    def _unpacked(self, request: DoorRequest) -> DoorRequest:
        if request.headers.get("content-encoding", "").strip().lower() != "gzip":
            return request
        body = _gunzip(request.body, self.most_body_bytes)
        return request._replace(body=body)


def _gunzip(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise Refusal(400, "body", None, f"the body is not gzip: {error}") from None
    if len(body) > most:
        raise body_too_large(most)
    if not unpacker.eof:
        raise Refusal(400, "body", None, "the gzip body is not whole")
    return body


def _read_all(endpoint: Endpoint, request: DoorRequest) -> list[Read]:
    reads = endpoint.read(request)
    if len(reads) > MAX_BATCH_EVENTS:
        reason = f"a batch holds at most {MAX_BATCH_EVENTS} events; split it"
        raise Refusal(400, "events", len(reads), reason)
    return reads


def visitor_of(sender: Sender, event: Event) -> Sender:
    """Whose event it is. A program that sends is the site's own server: its user agent and address
    are not the visitor's, and it is no bot for being one."""
    vouches, address = not event.names_browser, _address(event.address)
    if is_program(sender.agent):
        return sender._replace(address=address, agent=event.agent, hints=NO_HINTS, vouches=vouches)
    return sender._replace(
        address=address or sender.address,
        agent=event.agent or sender.agent,
        hints=NO_HINTS if event.agent else sender.hints,
        vouches=vouches,
    )


def _address(said: str) -> str:
    """Empty for what is none."""
    try:
        return str(ip_address(said))
    except ValueError:
        return ""


def refuse(endpoint: Endpoint, request: DoorRequest, refusal: Refusal) -> Answered:
    """Nothing of the request was taken."""
    reply = endpoint.refuse(request, refusal)
    remarks = _remarks(endpoint, [refusal])
    if refusal.retry_after is not None:
        remarks += (("Retry-After", str(refusal.retry_after)),)
    reply = _with_headers(endpoint, request, reply, remarks)
    return Answered(reply, refusal.status, refusal.field)


def preflight(endpoint: Endpoint, request: DoorRequest) -> Reply:
    """The answer to a browser that asks before it sends."""
    reply = Reply(endpoint.preflight_status, headers=endpoint.preflight)
    return _with_headers(endpoint, request, reply, ())


def _with_headers(
    endpoint: Endpoint, request: DoorRequest, reply: Reply, remarks: Headers
) -> Reply:
    return reply._replace(headers=(*reply.headers, *endpoint.cors(request), *remarks))


def _remarks(endpoint: Endpoint, outcomes: Sequence[Outcome]) -> Headers:
    """Why events are not counted as people's, whatever the original tells."""
    remarks: list[tuple[str, str]] = []
    refused = refusals(outcomes)
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        remarks.append(
            (REFUSED_HEADER, in_header(told(refused[0], endpoint.names)[:_MOST_SAID]) + more)
        )
    bots = bots_of(outcomes)
    if bots is not None:
        remarks.append(("X-Tracker-Bot", bots))
    return tuple(remarks)
