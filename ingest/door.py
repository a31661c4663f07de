"""What every door shares: one way from a request to its answer, byte for byte.

A door brings method, media type, sender and body; it gets an `Answer`, or what has to be
safe in Kafka before there is one. `Door` does no I/O but the producer's.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import DatabaseError

from ingest.acceptance import Acceptance, Sender
from ingest.delivery import (
    Accepted,
    AnswerT,
    KafkaUnavailable,
    Message,
    Producer,
    ProducerSettings,
)
from ingest.enrichment.steps import Told
from ingest.known import read_known, with_known
from ingest.make_acceptance import make_acceptance
from ingest.pageview import PageView, encode
from ingest.pixel import GIF, read_pixel
from ingest.rate_limit import TokenBuckets
from ingest.refusals import Refusal
from ingest.reply import Reply
from ingest.sites import SiteDirectory
from ingest.track_request import MAX_BATCH_EVENTS, TrackRequest, read_batch, read_event

RETRY_AFTER_SECONDS = 2
ALLOWED_METHODS = "POST, OPTIONS"
MEDIA_TYPES = ("application/json", "text/plain")

_encode = msgspec.json.Encoder().encode


class _AcceptedEvent(msgspec.Struct, tag_field="status", tag="accepted"):
    id: str
    receipt: str


class _Refused(msgspec.Struct, tag_field="status", tag="refused"):
    error: dict[str, Any]


class _Unavailable(msgspec.Struct, tag_field="status", tag="unavailable"):
    id: str


_Result = _AcceptedEvent | _Refused | _Unavailable


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An HTTP status and the JSON body with it; `field` is what a refusal names, `bots` why
    accepted events are not a person's."""

    status: int
    body: bytes
    retry_after: int | None = None
    field: str | None = None
    bots: str | None = None


@dataclass(frozen=True)
class Limits:
    """Token buckets by address (requests) and by site (events); None: no limit."""

    address: TokenBuckets | None = None
    site: TokenBuckets | None = None


class One(Accepted[Answer]):
    """One accepted event, and its answer."""

    __slots__ = ("_bot", "_id")

    def __init__(self, page_view: PageView) -> None:
        super().__init__(((page_view.visitor.encode(), encode(page_view)),))
        self._id = page_view.id
        self._bot = page_view.bot

    def answer(self) -> Answer:
        """Once it is known whether it is safe."""
        receipt = self.receipts[0]
        if receipt is None:
            return _unavailable(self.trouble)
        return Answer(202, _encode(_AcceptedEvent(self._id, receipt)), bots=self._bot)


class Many(Accepted[Answer]):
    """The events of a batch, some of them refused."""

    __slots__ = ("_results",)

    def __init__(self, results: list[PageView | Refusal]) -> None:
        super().__init__([message_of(view) for view in results if isinstance(view, PageView)])
        self._results = results

    def answer(self) -> Answer:
        """Once it is known of each whether it is safe."""
        results = _results(self._results, self.receipts)
        if not self.is_safe:
            return _unavailable(self.trouble, results)
        accepted, all_ = len(self.messages), len(results)
        body = {"accepted": accepted, "refused": all_ - accepted, "results": results}
        return Answer(202 if accepted else 400, _encode(body), bots=bots_of(self._results))


class Door:
    """The steps of a request, in their order: `refuse_unread`, `read_one` or `read_many`, then
    `deliver`, which answers when all is safe."""

    def __init__(
        self, acceptance: Acceptance, producer: Producer, limits: Limits | None = None
    ) -> None:
        self._acceptance = acceptance
        self.producer = producer
        self.limits = limits or Limits()

    def refuse_unread(self, content_type: str, address: str) -> Answer | None:
        """What can be refused without looking at the body."""
        throttled = self.throttle_address(address)
        if throttled is not None:
            return refused(throttled)
        if content_type in MEDIA_TYPES:
            return None
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            reason = f"send {' or '.join(MEDIA_TYPES)}"
            return refused(Refusal(415, "Content-Type", content_type or None, reason))
        return None

    def knows_site(self, name: str) -> bool:
        """Whether a site has this id or alias. Raises `DatabaseError`."""
        return self._acceptance.knows_site(name)

    def throttle_address(self, address: str) -> Refusal | None:
        """Whether this address asks too often."""
        if self.limits.address is not None and (wait := self.limits.address.take(address)):
            rate = self.limits.address.rate
            return _throttled(
                None, None, f"more than {rate:g} requests a second from your address", wait
            )
        return None

    def read_one(self, body: bytes, told: Told) -> One | Answer:
        """One event; `told` is what `of_sender` says of its sender."""
        try:
            page_view = self._acceptance.accept(read_event(body), told, now_ms())
        except Refusal as refusal:
            return refused(refusal)
        except DatabaseError:
            return _no_sites()
        return self._refuse_throttled((page_view,)) or One(page_view)

    def read_pixel(self, query: str, referer: str, sender: Sender) -> One | Answer:
        """One event of a browser that can only load an image; it has no body whose type matters.
        Its answer is told by `image_reply`."""
        throttled = self.throttle_address(sender.address)
        if throttled is not None:
            return refused(throttled)
        try:
            body = read_pixel(query, referer)
        except Refusal as refusal:
            return refused(refusal)
        return self.read_one(body, self.of_sender(sender))

    def read_many(self, body: bytes, told: Told) -> Many | Answer:
        """`{"events": […]}`: valid ones are kept even when others are refused."""
        results = self._read_results(body, told)
        return results if isinstance(results, Answer) else Many(results)

    def read_import(self, body: bytes) -> Many | Answer:
        """The same with what is known of each event: for who is authorised only. Of visitors the
        sender tells nothing."""
        results = self._read_results(body, self.of_sender(Sender(address="", agent="")))
        if isinstance(results, Answer):
            return results
        try:
            known = read_known(body)
        except Refusal as refusal:
            return refused(refusal)
        return Many([with_known(*pair) for pair in zip(results, known, strict=True)])

    def _read_results(self, body: bytes, told: Told) -> list[PageView | Refusal] | Answer:
        """What becomes of each event of a batch; an answer where all of it is refused."""
        try:
            events, now = read_batch(body), now_ms()
            results = [self.try_event(event, told, now) for event in events]
        except Refusal as refusal:
            return refused(refusal)
        except DatabaseError:
            return _no_sites()
        page_views = (result for result in results if isinstance(result, PageView))
        return self._refuse_throttled(page_views) or results

    def deliver(
        self, accepted: Accepted[AnswerT], done: Callable[[Accepted[AnswerT]], None]
    ) -> None:
        """Put it into Kafka; `done` is called with it once it can be answered."""
        if not accepted.messages:
            done(accepted)
            return
        accepted.done = done  # type: ignore[assignment]  # which is called with it, no other
        try:
            self.producer.produce(accepted)
        except KafkaUnavailable as trouble:
            accepted.trouble = str(trouble)
            done(accepted)

    def deliver_and_wait(self, accepted: Accepted[AnswerT]) -> AnswerT:
        """The same for a door that has a thread to wait in."""
        known = threading.Event()
        self.deliver(accepted, lambda _: known.set())
        # The producer's own bound comes first; a thread must not wait for ever without it.
        if not known.wait(settings.KAFKA_DELIVERY_TIMEOUT_MS / 1_000 + 2):
            accepted.trouble = "Kafka did not acknowledge in time: no answer"
        return accepted.answer()

    def of_sender(self, sender: Sender) -> Told:
        """What has to be known of who sent a request's events."""
        return self._acceptance.of_sender(sender)

    def try_event(self, event: TrackRequest | Refusal, told: Told, now: int) -> PageView | Refusal:
        """One event of several, that arrived at `now` (Unix ms). Raises `DatabaseError`."""
        if isinstance(event, Refusal):
            return event
        try:
            return self._acceptance.accept(event, told, now)
        except Refusal as refusal:
            return refusal

    def _refuse_throttled(self, page_views: Iterable[PageView]) -> Answer | None:
        throttled = self.throttle_sites(page_views)
        return None if throttled is None else refused(throttled)

    def throttle_sites(self, page_views: Iterable[PageView]) -> Refusal | None:
        """When one of the sites sends too much; nothing of the request is accepted then."""
        if self.limits.site is None:
            return None
        for site, events in Counter(page_view.site for page_view in page_views).items():
            if wait := self.limits.site.take(site, events):
                reason = f"more than {self.limits.site.rate:g} events a second for this site"
                return _throttled("site", site, reason, wait)
        return None


def error_body(field: str | None, value: object, reason: str) -> bytes:
    """The JSON of every error."""
    return _encode({"error": {"field": field, "value": value, "reason": reason}})


def try_again(reason: str) -> str:
    """What is said with 503."""
    return (
        f"{reason}. Send it again after {RETRY_AFTER_SECONDS} s; "
        "with an event_id it will be counted once."
    )


def method_not_allowed(method: str, allowed: str = ALLOWED_METHODS) -> bytes:
    return error_body(None, None, f"{method} is not allowed here; send {allowed}")


def json_reply(answer: Answer) -> Reply:
    """An answer to who sent events."""
    headers: list[tuple[str, str]] = []
    if answer.retry_after:
        headers.append(("Retry-After", str(answer.retry_after)))
    if answer.bots:
        headers.append(("X-Tracker-Bot", answer.bots))
    return Reply(answer.status, answer.body, "application/json", tuple(headers))


def image_reply(answer: Answer) -> Reply:
    """An answer to who loads an image: a browser shows nothing of it, and must not keep it."""
    reply = json_reply(answer)
    reply = reply._replace(headers=(("Cache-Control", "no-store"), *reply.headers))
    if answer.status == 202:
        return reply._replace(status=200, body=GIF, content_type="image/gif")
    return reply


def refused(refusal: Refusal) -> Answer:
    body = _encode({"error": refusal.as_json()})
    return Answer(refusal.status, body, refusal.retry_after, refusal.field)


def _results(results: list[PageView | Refusal], receipts: Sequence[str | None]) -> list[_Result]:
    """One answer an event, in the order in which they were sent."""
    left = iter(receipts)
    answers: list[_Result] = []
    for result in results:
        if isinstance(result, Refusal):
            answers.append(_Refused(result.as_json()))
        elif receipt := next(left, None):
            answers.append(_AcceptedEvent(result.id, receipt))
        else:
            answers.append(_Unavailable(result.id))
    return answers


def bots_of(results: Sequence[PageView | Refusal | None]) -> str | None:
    """Why some are not people's, each reason once."""
    reasons = {result.bot for result in results if isinstance(result, PageView) and result.bot}
    return ", ".join(sorted(reasons)) or None


def _unavailable(reason: str, results: list[_Result] | None = None) -> Answer:
    body: dict[str, Any] = {"error": unavailable(reason).as_json()}
    if results is not None:
        body["results"] = results
    return Answer(503, _encode(body), RETRY_AFTER_SECONDS)


def _throttled(field: str | None, value: str | None, reason: str, wait: float) -> Refusal:
    seconds = math.ceil(wait)
    return Refusal(429, field, value, f"{reason}; send it again after {seconds} s", seconds)


def unavailable(reason: str) -> Refusal:
    """Why it can't be taken now; it may be sent again."""
    return Refusal(503, None, None, try_again(reason), RETRY_AFTER_SECONDS)


NO_SITES = "The sites can't be read now"


def _no_sites() -> Answer:
    return _unavailable(NO_SITES)


def message_of(page_view: PageView) -> Message:
    return page_view.visitor.encode(), encode(page_view)


def now_ms() -> int:
    return int(time.time() * 1000)


def producer_settings(waiting_requests: int) -> ProducerSettings:
    """Of this deployment."""
    return ProducerSettings(
        bootstrap_servers=settings.KAFKA_BOOTSTRAP_SERVERS,
        topic=settings.KAFKA_TOPIC,
        linger_ms=settings.KAFKA_LINGER_MS,
        timeout_ms=settings.KAFKA_DELIVERY_TIMEOUT_MS,
        queue_events=settings.KAFKA_QUEUE_EVENTS,
        waiting_requests=waiting_requests,
    )


def make_door(sites: SiteDirectory, producer: Producer) -> Door:
    """A door wired by the settings."""
    limits = Limits(
        _buckets(settings.RATE_LIMIT_ADDRESS, 2 * settings.RATE_LIMIT_ADDRESS),
        _buckets(settings.RATE_LIMIT_SITE, max(2 * settings.RATE_LIMIT_SITE, MAX_BATCH_EVENTS)),
    )
    return Door(make_acceptance(sites), producer, limits)


def _buckets(rate: int, burst: int) -> TokenBuckets | None:
    return TokenBuckets(rate, burst, time.monotonic) if rate else None
