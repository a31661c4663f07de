"""`/metrics`: what Prometheus is told (`ingest.metrics` describes it)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any, NoReturn

import redis
from django.conf import settings
from django.db import DatabaseError, OperationalError
from drf_spectacular.utils import extend_schema
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dashboard.api import Away
from dashboard.authentication import ApiKeyAuthentication
from dashboard.models import ApiKey
from ingest import metrics
from ingest.delivery import KafkaUnavailable
from ingest.metrics import Reading
from ingest.process_door import process_producer
from processing.aggregation import CATEGORIES, EXPIRED, HOLES
from processing.archive_progress import ArchiveProgress
from processing.counters import connect
from processing.log import Log, LogUnavailable
from processing.models import Segment
from processing.stats import Stats, now_ms

# Prometheus gives a scrape ten seconds; three parts are asked.
_TIMEOUT_S = 2.0
_AWAY = (redis.RedisError, DatabaseError, KafkaUnavailable, LogUnavailable)


class Scrape(Collector):
    """Reads every `Reading` once. A part that is away leaves its own out and says so."""

    def __init__(self, stats: Stats, dead_letters: Callable[[], int], now_ms: int) -> None:
        self._stats = stats
        self._dead_letters = dead_letters
        self._now_ms = now_ms
        # Which log is the current one is known to Redis.
        self._ledger: dict[str, Any] = {"partitions": []}
        self._first_counted: datetime | None = None
        self._families = {reading.name: reading.family() for reading in metrics.READINGS}

    def describe(self) -> Iterable[Metric]:
        return [reading.family() for reading in metrics.READINGS]

    def collect(self) -> Iterable[Metric]:
        self._set(metrics.BUILD, 1, settings.VERSION)
        parts = {"redis": self._redis, "database": self._database, "kafka": self._kafka}
        for part, read in parts.items():
            self._set(metrics.UP, _succeeds(read), part)
        return self._families.values()

    def _redis(self) -> None:
        as_of = self._stats.as_of(self._now_ms)
        if as_of["age_seconds"] is not None:
            self._set(metrics.DATA_AGE, as_of["age_seconds"])
        self._ledger = self._stats.ledger()
        self._first_counted = self._stats.first_counted()
        for row in self._ledger["partitions"]:
            partition = str(row["partition"])
            self._set(metrics.MARKER, row["marker"], partition)
            for category in (*CATEGORIES, EXPIRED, HOLES):
                self._set(metrics.EVENTS, row[category], category, partition)
            if row["log_end"] is not None:
                self._set(metrics.LOG_END, row["log_end"], partition)
            if row["lag"] is not None and as_of["lag"] is not None:
                self._set(metrics.LAG, row["lag"], partition)

    def _database(self) -> None:
        archive = ArchiveProgress.read(self._stats.topic)
        states = archive.states()
        for state in states:
            self._set(metrics.SEGMENTS, state.segments, state.state)
        waiting = [s.oldest for s in states if s.oldest and s.state in Segment.UNFINISHED]
        self._set(metrics.UNFINISHED_AGE, self._age(min(waiting)) if waiting else 0)
        if planned_at := archive.planned_at or self._first_counted:
            self._set(metrics.PLANNED_AGE, self._age(planned_at))
        for row in self._ledger["partitions"]:
            log, partition = self._ledger["topic_id"], row["partition"]
            self._set(metrics.ARCHIVED, archive.archived_to(log, partition), str(partition))
            self._set(metrics.ARCHIVED_ROWS, archive.rows(log, partition), str(partition))
            self._set(metrics.CUT_BACK, archive.cut_back.get(partition, 0), str(partition))

    def _kafka(self) -> None:
        self._set(metrics.DEAD_LETTERS, self._dead_letters())

    def _age(self, moment: datetime) -> float:
        return self._now_ms / 1000 - moment.timestamp()

    def _set(self, reading: Reading, value: float, *labels: str) -> None:
        self._families[reading.name].add_metric(labels, value)


def _succeeds(read: Callable[[], None]) -> bool:
    try:
        read()
    except _AWAY:
        # `tracker_up` says so; /readyz says why.
        return False
    return True


def dead_letters() -> int:
    """Raises `KafkaUnavailable` and `LogUnavailable`."""
    process_producer().check(_TIMEOUT_S)
    log = _dead_letter_log()
    partitions = log.describe().partitions
    return sum(log.ends(partitions).values()) - sum(log.starts(partitions).values())


@cache
def _dead_letter_log() -> Log:
    return Log(settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_DEAD_TOPIC, _TIMEOUT_S)


def scrape() -> bytes:
    """Everything there is to tell now, in Prometheus' text format."""
    with connect(settings.REDIS_URL, _TIMEOUT_S) as client:
        stats = Stats(client, settings.REDIS_SHARDS, settings.KAFKA_TOPIC)
        registry = CollectorRegistry()
        registry.register(Scrape(stats, dead_letters, now_ms()))
        return generate_latest(registry) + generate_latest(metrics.PROCESS)


class MayScrape(BasePermission):
    """An API key that may read every site, or a person of the staff."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            return request.auth.all_sites
        return bool(request.user and request.user.is_staff)


class TextRenderer(BaseRenderer):
    """Prometheus' text as it is; an error as its reason."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        if isinstance(data, bytes):
            return data
        return f"{data['error']['reason']}\n".encode()


@extend_schema(exclude=True)
class MetricsView(APIView):
    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes = [MayScrape]
    renderer_classes = [TextRenderer]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """There is one format, whatever is asked for."""
        return super().perform_content_negotiation(request, force=True)

    def handle_exception(self, exc: Exception) -> Response:
        """Without the database no key can be checked."""
        if isinstance(exc, OperationalError):
            exc = Away("The database")
        return super().handle_exception(exc)

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> NoReturn:
        if request.auth or (request.user and request.user.is_authenticated):
            raise PermissionDenied(
                "Metrics are for API keys that may read all sites and for staff."
            )
        raise NotAuthenticated("Send “Authorization: Bearer <API key with all sites>”.")

    def get(self, request: Request) -> Response:
        return Response(scrape(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
