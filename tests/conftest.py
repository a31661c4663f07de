"""Real servers for the tests: each runs once a session, each test gets a topic, a key
prefix and a bucket of its own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic

from tracker_site.embedded.servers import (
    ApacheKafka,
    RedisServer,
    ServerError,
    Tansu,
    Valkey,
)

CACHE = Path(__file__).parent.parent / ".cache"
STACKS = ("embedded", "apache")


@dataclass(frozen=True)
class Servers:
    """A broker and a store that run."""

    kind: str
    bootstrap_servers: str
    redis_url: str


def _missing(reason: str) -> None:
    """A part that can't be had: skipped on a laptop, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("embedded")
    broker, store = Tansu(directory / "broker"), Valkey(directory / "store")
    try:
        broker.start()
        store.start()
        yield Servers("embedded", broker.bootstrap_servers, store.url)
    finally:
        broker.stop()
        store.stop()


@pytest.fixture(scope="session")
def apache_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("apache")
    kafka = ApacheKafka(directory / "kafka", CACHE / "apache-kafka")
    store = (RedisServer if RedisServer.installed() else Valkey)(directory / "redis")
    try:
        try:
            kafka.start()
        except ServerError as error:
            _missing(str(error))
        store.start()
        yield Servers("apache", kafka.bootstrap_servers, store.url)
    finally:
        kafka.stop()
        store.stop()


@pytest.fixture(params=STACKS)
def servers(request: pytest.FixtureRequest) -> Servers:
    """Each test that asks for it runs against the embedded parts and against Apache Kafka."""
    running: Servers = request.getfixturevalue(f"{request.param}_servers")
    return running


@pytest.fixture
def store(servers: Servers) -> Iterator["redis.Redis"]:
    """An empty store."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def topic(servers: Servers) -> str:
    """A new topic of two partitions, and its dead-letter topic."""
    name = f"pageviews-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    for future in admin.create_topics(
        [NewTopic(name, 2, 1), NewTopic(f"{name}.dead", 1, 1)]
    ).values():
        future.result(timeout=20)
    return name


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database for processes that a test starts, migrated."""
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        env={**os.environ, "DATABASE_URL": f"sqlite:///{path}"},
        cwd=CACHE.parent,
        check=True,
    )
    return path
