from collections.abc import Iterator

import pytest
import redis

from tests.conftest import Servers
from tests.processing.pipeline import Pipeline


@pytest.fixture
def pipeline(servers: Servers, store: "redis.Redis", topic: str) -> Iterator[Pipeline]:
    yield Pipeline(servers, topic, store)
