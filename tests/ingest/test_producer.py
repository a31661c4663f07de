"""The producer while Kafka is away, slow or back again."""

import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.delivery import Delivery, KafkaUnavailable, Message
from ingest.producer import PageViewProducer
from tests.conftest import Servers
from tests.ingest.conftest import producer_settings, stoppable_kafka
from tracker_site.embedded.servers import ApacheKafka

# One server for all of them.
pytestmark = pytest.mark.xdist_group("producer")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """An Apache Kafka that a test may stop and start."""
    yield from stoppable_kafka(tmp_path_factory.mktemp("kafka"), ApacheKafka)


def make_topic(kafka: ApacheKafka, name: str) -> Servers:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)
    return Servers("apache", kafka.bootstrap_servers, "")


def send(producer: PageViewProducer, messages: list[Message]) -> list[str]:
    """Wait until all are safe. Raises `KafkaUnavailable` when one is not."""
    delivery = Delivery(messages)
    settled = threading.Event()
    delivery.done = lambda _: settled.set()
    producer.produce(delivery)
    assert settled.wait(30)
    if not delivery.is_safe:
        raise KafkaUnavailable(delivery.trouble)
    return [receipt for receipt in delivery.receipts if receipt]


def test_it_recovers_by_itself_when_kafka_is_back(kafka: ApacheKafka) -> None:
    servers = make_topic(kafka, "recovers")
    producer = PageViewProducer(producer_settings(servers, "recovers", timeout_ms=3_000))
    assert send(producer, [(b"v", b"1")])
    kafka.kill()
    started = time.monotonic()
    with pytest.raises(KafkaUnavailable):
        send(producer, [(b"v", b"2")])
    assert time.monotonic() - started < 6
    kafka.start()
    deadline = time.monotonic() + 30
    receipts: list[str] = []
    while not receipts:
        assert time.monotonic() < deadline
        try:
            receipts = send(producer, [(b"v", b"3")])
        except KafkaUnavailable:
            continue
    producer.close()


def test_it_bounds_what_waits_while_kafka_is_away() -> None:
    nowhere = Servers("none", "127.0.0.1:1", "")
    producer = PageViewProducer(
        producer_settings(nowhere, "t", timeout_ms=2_000, waiting_requests=4)
    )
    refused_at_once = 0
    lock = threading.Lock()

    def send_one() -> None:
        nonlocal refused_at_once
        started = time.monotonic()
        with pytest.raises(KafkaUnavailable):
            send(producer, [(b"v", b"x")])
        if time.monotonic() - started < 0.5:
            with lock:
                refused_at_once += 1

    threads = [threading.Thread(target=send_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused_at_once == 16
    before = threading.active_count()
    producer.close()
    assert threading.active_count() <= before


def test_it_refuses_more_events_than_may_wait() -> None:
    nowhere = Servers("none", "127.0.0.1:1", "")
    producer = PageViewProducer(producer_settings(nowhere, "t", queue_events=10))
    with pytest.raises(KafkaUnavailable, match="too many"):
        send(producer, [(b"v", b"x")] * 11)
    producer.close()
