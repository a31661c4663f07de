"""Real servers for the tests: each runs once a session, each test gets a topic, a key
prefix and a bucket of its own."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic
from django.db import connections

from tracker_site.embedded.servers import (
    ApacheKafka,
    RedisServer,
    ServerError,
    Tansu,
    Valkey,
)

CACHE = Path(__file__).parent.parent / ".cache"
STACKS = ("embedded", "apache")


# A test that asks for one of these has Django's database, or a process that has it.
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "migrated_database"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-only",
        action="store_true",
        help="run only the tests that use Django's database, each with the embedded broker",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--database-only"):
        return
    dropped = [item for item in items if not _concerns_database(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if _concerns_database(item)]


def _concerns_database(item: pytest.Item) -> bool:
    """Which broker runs makes no difference to the database, so one of them is enough."""
    if item.get_closest_marker("any_database") is not None:
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    uses = item.get_closest_marker("django_db") is not None or fixtures & DATABASE_FIXTURES
    call = getattr(item, "callspec", None)
    return bool(uses) and (call is None or call.params.get("servers") != "apache")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing left to run is no failure when `--database-only` took it away."""
    nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if nothing and session.config.getoption("--database-only"):
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """No connection outlives its request, else PostgreSQL can't drop the tests' database."""
    for connection in connections.all():
        connection.settings_dict["CONN_MAX_AGE"] = 0


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
    return make_topic(servers)


def make_topic(servers: Servers) -> str:
    """A new topic of two partitions, and its dead-letter topic."""
    name = f"pageviews-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    for future in admin.create_topics(
        [NewTopic(name, 2, 1), NewTopic(f"{name}.dead", 1, 1)]
    ).values():
        future.result(timeout=20)
    return name


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DATABASE_URL of a migrated database for processes that a test starts: one of its own
    where the tests run with PostgreSQL, else SQLite."""
    with new_database(tmp_path_factory.mktemp("database")) as url:
        run_command(url, "migrate", "-v0")
        yield url


@pytest.fixture
def database(migrated_database: str, tmp_path: Path) -> Iterator[str]:
    """The same, of one test alone."""
    if migrated_database.startswith("sqlite"):
        source = migrated_database.removeprefix("sqlite:///")
        yield f"sqlite:///{shutil.copy(source, tmp_path / 'db.sqlite3')}"
        return
    with new_database(tmp_path, template=urlsplit(migrated_database).path[1:]) as url:
        yield url


def run_command(database_url: str, *arguments: str) -> None:
    """A management command in a process of its own."""
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, "DATABASE_URL": database_url},
        cwd=CACHE.parent,
        check=True,
    )


@contextmanager
def new_database(directory: Path, template: str = "template1") -> Iterator[str]:
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield f"sqlite:///{directory / 'db.sqlite3'}"
        return
    name = f"processes_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
