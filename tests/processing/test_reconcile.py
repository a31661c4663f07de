"""Recounting real archives and logs while real consumers count."""

from pathlib import Path
from typing import Any

import pytest

from ingest.models import Site
from processing.aggregation import SiteRules
from processing.archive import Archive
from processing.reconciliation import Findings, Reconciliation
from processing.stats import now_ms
from tests.processing.pipeline import SITE, Pipeline, page_view

pytestmark = pytest.mark.django_db
embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)

DAY_MS = 86_400_000
RULES = {
    SITE: SiteRules("Pacific/Auckland", 30),
    "ny.example": SiteRules("America/New_York"),
    "kathmandu.example": SiteRules("Asia/Kathmandu", 400),
}


@pytest.fixture(autouse=True)
def wired(pipeline: Pipeline, settings: Any, tmp_path: Path) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = pipeline.servers.bootstrap_servers
    settings.KAFKA_TOPIC = pipeline.topic
    settings.REDIS_URL = pipeline.servers.redis_url
    settings.REDIS_SHARDS = pipeline.shards
    settings.ARCHIVE_URL = f"file://{tmp_path / 'archive'}"
    settings.ARCHIVE_SEGMENT_EVENTS = 50
    pipeline.rules = RULES
    for name, rules in RULES.items():
        Site.objects.create(
            public_id=name, time_zone=rules.time_zone, retention_days=rules.retention_days
        )


def reconcile(**options: Any) -> Findings:
    return Reconciliation.from_settings().run(**options)


def differences(**options: Any) -> list[str]:
    return [str(difference) for difference in reconcile(**options).differences]


def archive_all() -> None:
    archive = Archive.from_settings()
    for segment in archive.plan():
        archive.write(segment)
        assert segment.state == "written", segment.error


def mixed_events(count: int, seed: int = 0) -> list[Any]:
    """Of every kind: several sites, days, times of arrival, repeats, late ones, bots."""
    now = now_ms()
    sites = [*RULES, "unknown.example"]
    events: list[Any] = []
    for n in range(seed, seed + count):
        ago = [0, 60_000, 3_600_000, 20 * DAY_MS, 100 * DAY_MS][n % 5]
        events.append(
            page_view(
                f"/{n % 7}",
                f"v{n % 50}",
                site=sites[n % 4],
                ts=now - ago - n,
                received=now,
                id=f"id{n % 40 if n % 3 else n}",
                retryable=n % 2 == 0,
                bot="crawler" if n % 11 == 0 else None,
                name="signup" if n % 13 == 0 else "pageview",
            )
        )
        if n % 17 == 0:
            events.append(b"unreadable")
    return events


def test_it_finds_no_difference_in_events_of_every_kind(pipeline: Pipeline) -> None:
    first = mixed_events(150)
    pipeline.send(first)
    archive_all()
    second = mixed_events(100, seed=100)
    pipeline.send(second)
    pipeline.count_all(len(first) + len(second))
    findings = reconcile()
    assert findings.differences == [] and findings.unreadable == []
    assert findings.events == len(first) + len(second)
    assert findings.waiting == 0
    totals = pipeline.stats.ledger()["totals"]
    assert all(totals[name] > 0 for name in ("counted", "duplicate", "bot", "late", "invalid"))
    assert findings.compared > 300


def test_it_recounts_up_to_the_markers_only(pipeline: Pipeline) -> None:
    pipeline.send(page_view() for _ in range(20))
    pipeline.count_all(20)
    pipeline.send(page_view() for _ in range(7))
    findings = reconcile()
    assert (findings.events, findings.waiting, findings.differences) == (20, 7, [])
