"""A Kafka with TLS, passwords, certificates and access rights, through every client we have."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ingest.producer import PageViewProducer
from processing.log import Log
from tests.conftest import Servers, _missing
from tests.ingest.conftest import producer_settings, stoppable_kafka
from tests.ingest.test_loop_producer import PARTITIONS, make_topic, run, sending
from tests.ingest.test_producer import send
from tests.processing.pipeline import wait_for
from tests.secured_servers import TRIED_TOPIC, SecuredKafka, SecuredRedis
from tests.stack import RunningStack
from tracker_site.embedded.child import BASE_DIR
from tracker_site.embedded.servers import free_port

pytestmark = pytest.mark.xdist_group("secured kafka")

Use = Callable[[dict[str, str]], Servers]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    for server in stoppable_kafka(tmp_path_factory.mktemp("kafka"), SecuredKafka):
        server.let_in()
        make_topic(server, TRIED_TOPIC)
        yield server


@pytest.fixture
def use(settings: Any) -> Use:
    """Have these settings in this process; what the producers of the tests are made with."""

    def use(values: dict[str, str]) -> Servers:
        for name, value in values.items():
            setattr(settings, name, value)
        return Servers("apache", values["KAFKA_BOOTSTRAP_SERVERS"], "")

    return use


def ways_in(kafka: SecuredKafka) -> dict[str, dict[str, str]]:
    return {
        "SCRAM": kafka.scram(),
        "PLAIN": kafka.scram(mechanism="PLAIN"),
        "certificate": kafka.certificate(),
    }


@pytest.mark.parametrize("way", ["SCRAM", "PLAIN", "certificate"])
def test_both_producers_are_let_in(kafka: SecuredKafka, use: Use, way: str) -> None:
    servers = use(ways_in(kafka)[way])
    log = Log(servers.bootstrap_servers, TRIED_TOPIC)
    before = sum(log.ends(PARTITIONS).values())
    producer = PageViewProducer(producer_settings(servers, TRIED_TOPIC))
    send(producer, [(b"visitor", b"of librdkafka")])
    producer.close()

    async def test() -> None:
        async with sending(servers.bootstrap_servers, TRIED_TOPIC) as loop:
            await loop.send_safely([(b"visitor", b"of the loop")] * 500)

    run(test)
    assert sum(log.ends(PARTITIONS).values()) == before + 501
    partition, end = next((p, end) for p, end in log.ends(PARTITIONS).items() if end)
    values = [message.value() for message in log.read(partition, 0, end)]
    assert b"of librdkafka" in values and b"of the loop" in values


def test_the_gateway_goes_on_when_its_login_is_over(kafka: SecuredKafka, use: Use) -> None:
    servers = use(kafka.scram())

    async def test() -> None:
        async with sending(servers.bootstrap_servers, TRIED_TOPIC) as loop:
            await loop.send_safely([(b"visitor", b"before")])
            (first,) = loop.producer._links.values()
            while not first.is_lost:
                await loop.send_safely([(b"visitor", b"and on")])
            await loop.send_safely([(b"visitor", b"after")])

    run(test)


def other_authority(directory: Path) -> str:
    trustme.CA().cert_pem.write_to_path(directory / "other.pem")
    return str(directory / "other.pem")


def test_the_gateway_says_why_it_is_not_let_in(
    kafka: SecuredKafka, use: Use, tmp_path: Path
) -> None:
    strangers = {
        "it refuses the user 'tracker': Authentication failed": kafka.scram(password="wrong"),
        "it does not take KAFKA_SASL_MECHANISM=SCRAM-SHA-256, but ": kafka.scram(
            mechanism="SCRAM-SHA-256"
        ),
        "certificate verify failed": kafka.scram()
        | {"KAFKA_SSL_CA_LOCATION": other_authority(tmp_path)},
    }
    for reason, values in strangers.items():
        servers = use(values)

        async def test(servers: Servers = servers, reason: str = reason) -> None:
            async with sending(servers.bootstrap_servers, TRIED_TOPIC) as loop:
                async with asyncio.timeout(20):
                    while reason not in (loop.producer.trouble or ""):
                        await asyncio.sleep(0.05)
                assert servers.bootstrap_servers in (loop.producer.trouble or "")

        run(test)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecuredRedis]:
    if not SecuredRedis.installed():
        _missing("redis-server is not installed")
    server = SecuredRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def test_the_whole_product_runs_with_tls(
    kafka: SecuredKafka, store: SecuredRedis, tmp_path: Path
) -> None:
    """Topics, both doors, the consumer, Celery and the archive, with no rights in Kafka but those
    that it is said to need."""
    connections = {**kafka.scram(), "REDIS_URL": store.secured_url}
    stack = RunningStack(tmp_path / "data", ARCHIVE_INTERVAL_SECONDS="1", **connections)
    gateway_port = free_port()
    try:
        stack.start()
        # Another terminal knows DATA_DIR only.
        for name in connections:
            del stack.environment[name]
        command = [sys.executable, "manage.py", "gateway", "--port", str(gateway_port)]
        gateway = subprocess.Popen(command, cwd=BASE_DIR, env=stack.environment)
        try:
            send_through(stack, gateway_port)
        finally:
            gateway.terminate()
            assert gateway.wait(30) == 0
        wait_for(lambda: stack.get("/api/v1/ledger")["totals"]["counted"] == 2, "both to count")
        archive = stack.directory / "archive"
        wait_for(lambda: any(archive.rglob("*.parquet")), "Celery to archive", 60)
        assert stack.interrupt() == 0
    finally:
        stack.close()


def send_through(stack: RunningStack, gateway_port: int) -> None:
    event = {"page_url": "/secured"}
    assert stack.track(event)["status"] == "accepted"
    web, stack.port = stack.port, gateway_port
    try:
        wait_for(lambda: answers(stack), "the gateway to be ready", 30)
        assert stack.track(event)["status"] == "accepted"
    finally:
        stack.port = web


def answers(stack: RunningStack) -> bool:
    try:
        return bool(stack.get("/readyz"))
    except (OSError, AssertionError):
        return False


def test_celery_wants_a_certificate_that_it_knows(store: SecuredRedis, tmp_path: Path) -> None:
    connect = (
        "from tracker_site.celery import app; app.connection().ensure_connection(max_retries=1)"
    )
    for authority, reason in ((store.authority, ""), (other_authority(tmp_path), "verify failed")):
        url = store.secured_url.replace(store.authority, authority)
        done = subprocess.run(
            [sys.executable, "-c", connect],
            cwd=BASE_DIR,
            env={**os.environ, "DATA_DIR": str(tmp_path), "REDIS_URL": url},
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == (not reason) and reason in done.stderr, done.stderr


def test_settings_that_do_not_fit_together_stop_the_start(tmp_path: Path) -> None:
    refused = {
        "wants KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD": {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"
        },
        "wants KAFKA_SASL_PASSWORD": {
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_USERNAME": "tracker",
        },
        "KAFKA_SASL_USERNAME is set, but KAFKA_SECURITY_PROTOCOL is 'SSL'": {
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SASL_USERNAME": "tracker",
        },
        "KAFKA_SSL_CA_LOCATION is set, but KAFKA_SECURITY_PROTOCOL is 'PLAINTEXT'": {
            "KAFKA_SSL_CA_LOCATION": "ca.pem"
        },
        "KAFKA_SSL_CA_LOCATION='/nowhere.pem': [Errno 2] No such file": {
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_LOCATION": "/nowhere.pem",
        },
    }
    for reason, values in refused.items():
        done = subprocess.run(
            [sys.executable, "manage.py", "gateway"],
            cwd=BASE_DIR,
            env={**os.environ, "DATA_DIR": str(tmp_path), **values},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and reason in done.stderr, done.stderr
        assert "HINT: " in done.stderr
