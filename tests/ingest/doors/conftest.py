"""One web process for the doors of all trackers, behind which Kafka is real."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conftest import Servers, make_topic, run_command
from tests.ingest.doors.tracker_door import ALIASES, SITE, TrackerDoor
from tests.ingest.tracker_script.tracked_site import LogReader
from tests.tracker_site.web import Web


@pytest.fixture(scope="package")
def door(
    tmp_path_factory: pytest.TempPathFactory, embedded_servers: Servers, migrated_database: str
) -> Iterator[TrackerDoor]:
    aliases = [word for alias in ALIASES for word in ("--alias", alias)]
    run_command(migrated_database, "add_site", SITE, *aliases)
    run_command(migrated_database, "add_site", "localhost")
    topic = make_topic(embedded_servers)
    environment = {
        "DATABASE_URL": migrated_database,
        "REDIS_URL": embedded_servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_servers.bootstrap_servers,
        "KAFKA_TOPIC": topic,
        "RATE_LIMIT_ADDRESS": "0",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,stats.shop.example",
        "MAX_BODY_BYTES": "200000",
    }
    web = Web(tmp_path_factory.mktemp("doors"), environment)
    web.start_timeout = 90.0
    with closing(LogReader(embedded_servers.bootstrap_servers, topic)) as log:
        try:
            web.start()
            yield TrackerDoor(web.port, log)
        finally:
            web.stop()
