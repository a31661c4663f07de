"""`/livez` and `/readyz`: what a cluster asks."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from ingest.producer import PageViewProducer
from tests.conftest import Servers, make_topic
from tests.ingest.conftest import producer_settings
from tests.tracker_site.web import Web
from tracker_site import health
from tracker_site.embedded.servers import Valkey

NOWHERE = "127.0.0.1:1"


def producer_of(bootstrap_servers: str, topic: str) -> PageViewProducer:
    """What /readyz asks."""
    return PageViewProducer(producer_settings(Servers("any", bootstrap_servers, ""), topic))


@pytest.fixture
def all_parts(
    embedded_servers: Servers, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Every part is there; nothing is remembered of an earlier test."""
    settings.REDIS_URL = embedded_servers.redis_url
    producer = producer_of(embedded_servers.bootstrap_servers, make_topic(embedded_servers))
    monkeypatch.setattr(health, "process_producer", lambda: producer)
    monkeypatch.setattr(health, "_health", health.Health(health._health._checks))
    yield monkeypatch
    producer.close()


def ready() -> tuple[int, dict[str, Any]]:
    """The answer, which must come before a probe gives up."""
    started = time.monotonic()
    response = Client().get("/readyz")
    assert time.monotonic() - started < 3
    return response.status_code, response.json()


def only_fault(part: str) -> str:
    """What is said of `part`, when it alone is at fault."""
    status, body = ready()
    assert status == 503 and body["ready"] is False
    faults = {name: state for name, state in body.items() if state not in ("ok", False)}
    assert list(faults) == [part]
    return str(faults[part])


def test_it_lives_without_anything() -> None:
    response = Client().get("/livez")
    assert (response.status_code, response.content) == (200, b"ok\n")


def test_it_is_ready_with_all_parts(all_parts: Any) -> None:
    assert ready() == (200, {"ready": True, "database": "ok", "redis": "ok", "kafka": "ok"})


def test_it_names_a_redis_that_is_away(all_parts: Any, settings: Any) -> None:
    settings.REDIS_URL = f"redis://{NOWHERE}/0"
    assert "refused" in only_fault("redis")


def test_it_names_a_redis_that_hangs(all_parts: Any, settings: Any, tmp_path: Path) -> None:
    store = Valkey(tmp_path)
    store.start()
    settings.REDIS_URL = store.url
    assert store.process is not None
    try:
        store.process.send_signal(signal.SIGSTOP)
        assert "imeout" in only_fault("redis")
    finally:
        store.kill()


def test_it_names_a_kafka_that_is_away(all_parts: Any) -> None:
    producer = producer_of(NOWHERE, "any")
    all_parts.setattr(health, "process_producer", lambda: producer)
    assert "Kafka does not answer" in only_fault("kafka")
    producer.close()


def test_it_names_a_missing_topic(all_parts: Any, embedded_servers: Servers) -> None:
    producer = producer_of(embedded_servers.bootstrap_servers, "missing")
    all_parts.setattr(health, "process_producer", lambda: producer)
    assert "create_topics" in only_fault("kafka")
    producer.close()


def test_it_names_missing_migrations(all_parts: Any) -> None:
    MigrationRecorder(connection).record_unapplied("dashboard", "0001_initial")
    assert "1 migrations are missing; run `manage.py migrate`" in only_fault("database")


def test_it_asks_its_parts_once_a_second_however_often_it_is_asked(
    all_parts: Any, settings: Any
) -> None:
    assert ready()[0] == 200
    settings.REDIS_URL = f"redis://{NOWHERE}/0"
    assert ready()[0] == 200
    deadline = time.monotonic() + 5
    while ready()[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_says_so_while_everything_is_away(tmp_path: Path) -> None:
    """The real process: it starts, lives, names all that is missing, and stops."""
    away = {
        "DATABASE_URL": f"postgres://user@{NOWHERE}/any",
        "REDIS_URL": f"redis://{NOWHERE}/0",
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
    }
    web = Web(tmp_path, away)
    web.start()
    try:
        started = time.monotonic()
        answer = web.get("/readyz")
        assert time.monotonic() - started < 4
        assert answer.status == 503
        assert "ok" not in answer.body.values() and len(answer.body) == 4
        refused = web.get("/api/v1/ledger", Authorization="Bearer pvt_00000000_x")
        assert refused.status == 503 and refused.headers["Retry-After"]
        assert "database" in refused.body["error"]["reason"]
        assert web.get("/livez", as_json=False).status == 200
    finally:
        web.stop()
    assert web.process is not None and web.process.returncode == 0
