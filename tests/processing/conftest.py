from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.conftest import Servers
from tests.processing.pipeline import Pipeline


@pytest.fixture
def pipeline(
    servers: Servers, store: "redis.Redis", topic: str, migrated_database: Path
) -> Iterator[Pipeline]:
    yield Pipeline(servers, topic, store, migrated_database)
