"""Points the settings at a test's own topic, store and archive."""

from pathlib import Path
from typing import Any

from ingest.models import Site
from processing.archive import Archive
from processing.rules import SiteRules
from tests.processing.pipeline import Pipeline


def wire(pipeline: Pipeline, settings: Any, directory: Path) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = pipeline.servers.bootstrap_servers
    settings.KAFKA_TOPIC = pipeline.topic
    settings.KAFKA_DEAD_TOPIC = f"{pipeline.topic}.dead"
    settings.REDIS_URL = pipeline.servers.redis_url
    settings.REDIS_SHARDS = pipeline.shards
    settings.ARCHIVE_URL = f"file://{directory / 'archive'}"
    settings.ARCHIVE_SEGMENT_EVENTS = 50


def add_sites(pipeline: Pipeline, rules: dict[str, SiteRules]) -> None:
    """Sites in the database, and the same rules for the pipeline's consumers."""
    pipeline.rules = rules
    for name, of_site in rules.items():
        Site.objects.create(
            public_id=name,
            time_zone=of_site.time_zone,
            retention_days=of_site.retention_days,
            bots_as_people="\n".join(of_site.people),
        )


def archive_all() -> None:
    archive = Archive.from_settings()
    for segment in archive.plan():
        archive.write(segment)
        assert segment.state == "written", segment.error
