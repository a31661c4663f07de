from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.conftest import Servers
from tests.processing.pipeline import Pipeline
from tests.s3 import CREDENTIALS, S3Server


@pytest.fixture
def pipeline(servers: Servers, store: "redis.Redis", topic: str) -> Iterator[Pipeline]:
    yield Pipeline(servers, topic, store)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def archive_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """An empty archive: each test that asks for it runs against a folder and against S3."""
    if request.param == "folder":
        return f"file://{tmp_path / 'archive'}"
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server: S3Server = request.getfixturevalue("s3")
    return server.new_bucket()
