"""What every door shares: one set of sites, one producer, one way from bytes to answers.

A door brings the body and the sender and gets a status and a JSON answer.
"""

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.db import DatabaseError

from ingest.acceptance import Acceptance, Sender
from ingest.pageview import PageView, encode
from ingest.producer import KafkaUnavailable, PageViewProducer, ProducerSettings, Receipt
from ingest.refusals import Refusal
from ingest.sites import SiteDirectory
from ingest.track_request import read_batch, read_event
from ingest.visitor import VisitorHash

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2
_WAITING_REQUESTS = 512


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the JSON body with it."""

    status: int
    body: dict[str, Any]
    retry_after: int | None = None


class Door:
    """Accepts events; `clock` gives Unix milliseconds."""

    def __init__(self, acceptance: Acceptance, producer: PageViewProducer) -> None:
        self._acceptance = acceptance
        self.producer = producer

    def track(self, body: bytes, sender: Sender) -> Answer:
        """One event: 202 once it is safe in Kafka."""
        try:
            page_view = self._acceptance.accept(read_event(body), sender, _now_ms())
            (receipt,) = self.producer.send([_message(page_view)])
        except Refusal as refusal:
            return Answer(refusal.status, {"error": refusal.as_json()})
        except DatabaseError:
            return _no_sites()
        except KafkaUnavailable as error:
            return _unavailable(str(error))
        return Answer(202, _accepted(page_view, receipt))

    def track_batch(self, body: bytes, sender: Sender) -> Answer:
        """Many events: 202 once every one that is not refused is safe in Kafka."""
        try:
            results = [self._try(event, sender) for event in read_batch(body)]
        except Refusal as refusal:
            return Answer(refusal.status, {"error": refusal.as_json()})
        except DatabaseError:
            return _no_sites()
        page_views = [result for result in results if isinstance(result, PageView)]
        try:
            receipts = self._send(page_views)
        except KafkaUnavailable as error:
            return _unavailable(str(error), _results(results, error.receipts))
        return _batch_answer(_results(results, receipts))

    def _try(self, event: msgspec.Raw, sender: Sender) -> PageView | Refusal:
        try:
            return self._acceptance.accept(read_event(event), sender, _now_ms())
        except Refusal as refusal:
            return refusal

    def _send(self, page_views: list[PageView]) -> list[Receipt]:
        if not page_views:
            return []
        return self.producer.send([_message(page_view) for page_view in page_views])


def _results(
    results: list[PageView | Refusal], receipts: "list[Receipt] | Any"
) -> list[dict[str, Any]]:
    """One answer an event, in the order in which they were sent."""
    left = iter(receipts)
    answers: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, Refusal):
            answers.append({"status": "refused", "error": result.as_json()})
        else:
            receipt = next(left, None)
            answers.append(
                _accepted(result, receipt)
                if receipt
                else {"status": "unavailable", "id": result.id}
            )
    return answers


def _batch_answer(results: list[dict[str, Any]]) -> Answer:
    accepted = sum(1 for result in results if result["status"] == "accepted")
    body = {"accepted": accepted, "refused": len(results) - accepted, "results": results}
    return Answer(202 if accepted else 400, body)


def _accepted(page_view: PageView, receipt: Receipt) -> dict[str, Any]:
    return {"status": "accepted", "id": page_view.id, "receipt": str(receipt)}


def _unavailable(reason: str, results: list[dict[str, Any]] | None = None) -> Answer:
    body: dict[str, Any] = {
        "error": {
            "field": None,
            "value": None,
            "reason": f"{reason}. Send it again after {RETRY_AFTER_SECONDS} s; "
            "with an event_id it will be counted once.",
        }
    }
    if results is not None:
        body["results"] = results
    return Answer(503, body, RETRY_AFTER_SECONDS)


def _no_sites() -> Answer:
    # The database's own words name hosts and users: they are for the log.
    logger.warning("The sites can't be read.", exc_info=True)
    return _unavailable("The sites can't be read now")


def _message(page_view: PageView) -> tuple[str, bytes]:
    return page_view.visitor, encode(page_view)


def _now_ms() -> int:
    return int(time.time() * 1000)


@cache
def process_door() -> Door:
    """The one door of this process, wired by the settings."""
    producer = PageViewProducer(
        ProducerSettings(
            bootstrap_servers=settings.KAFKA_BOOTSTRAP_SERVERS,
            topic=settings.KAFKA_TOPIC,
            linger_ms=settings.KAFKA_LINGER_MS,
            timeout_ms=settings.KAFKA_DELIVERY_TIMEOUT_MS,
            queue_events=settings.KAFKA_QUEUE_EVENTS,
            waiting_requests=_WAITING_REQUESTS,
        )
    )
    visitors = VisitorHash(settings.SECRET_KEY)
    return Door(Acceptance(SiteDirectory(), settings.DEFAULT_SITE, visitors), producer)
