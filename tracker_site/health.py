"""Probes: `/livez`, the process answers; `/readyz`, it can take page views and show counts."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from ingest.delivery import KafkaUnavailable
from ingest.process_door import process_producer
from processing.counters import connect

logger = logging.getLogger(__name__)

_TIMEOUT_S = 1.0
_KEPT_S = 1.0


def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 or 503 with each part's state: "ok", or what is wrong with it."""
    parts = _health.parts()
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"ready": ready, **parts}, status=200 if ready else 503)


def _check_database() -> None:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise DatabaseError(f"{len(missing)} migrations are missing; run `manage.py migrate`")


def _check_redis() -> None:
    with connect(settings.REDIS_URL, _TIMEOUT_S) as client:
        client.ping()


def _check_kafka() -> None:
    process_producer().check(_TIMEOUT_S)


class Health:
    """Asks each part at most once a second, however many probes come."""

    _errors = (DatabaseError, redis.RedisError, KafkaUnavailable)

    def __init__(self, checks: dict[str, Callable[[], None]]) -> None:
        self._checks = checks
        self._lock = threading.Lock()
        self._parts: dict[str, Any] = {}
        self._asked_at = 0.0

    def parts(self) -> dict[str, str]:
        with self._lock:
            if not self._parts or time.monotonic() - self._asked_at > _KEPT_S:
                found = {name: self._state(check) for name, check in self._checks.items()}
                self._tell(found)
                self._parts = found
                self._asked_at = time.monotonic()
            return dict(self._parts)

    def _tell(self, found: dict[str, str]) -> None:
        for name, state in found.items():
            if state == self._parts.get(name, "ok"):
                continue
            if state == "ok":
                logger.info("%s is ready again.", name)
            else:
                logger.warning("%s is not ready: %s", name, state)

    def _state(self, check: Callable[[], None]) -> str:
        try:
            check()
        except self._errors as error:
            return str(error)
        return "ok"


_health = Health({"database": _check_database, "redis": _check_redis, "kafka": _check_kafka})
