"""The gateway's producer against a real Apache Kafka that is stopped, frozen and emptied."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.delivery import Delivery, KafkaUnavailable, Message
from ingest.gateway.producer import LoopProducer
from tests.conftest import Servers
from tests.ingest.conftest import producer_settings, stoppable_kafka
from tracker_site.embedded.servers import ApacheKafka

pytestmark = pytest.mark.xdist_group("loop producer")

PARTITIONS = 3


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """An Apache Kafka that a test may stop and start."""
    yield from stoppable_kafka(tmp_path_factory.mktemp("kafka"), ApacheKafka)


def make_topic(kafka: ApacheKafka, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(20)


def read(kafka: ApacheKafka, topic: str) -> dict[str, tuple[bytes, bytes]]:
    """Key and value of every message, by its receipt."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "test"})
    found = {}
    for partition in range(PARTITIONS):
        place = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([place])
        for offset in range(end):
            message = consumer.poll(20)
            assert message is not None and message.error() is None and message.offset() == offset
            found[f"{partition}-{offset}"] = (message.key(), message.value())
    consumer.close()
    return found  # type: ignore[return-value]


class Sending:
    """One producer on this test's loop."""

    def __init__(self, producer: LoopProducer) -> None:
        self.producer = producer

    async def send(self, messages: list[Message]) -> Delivery:
        """Until it is known of each whether it is safe."""
        delivery = Delivery(messages)
        settled = asyncio.Event()
        delivery.done = lambda _: settled.set()
        self.producer.produce(delivery)
        await asyncio.wait_for(settled.wait(), 60)
        return delivery

    async def send_safely(self, messages: list[Message]) -> list[str]:
        delivery = await self.send(messages)
        assert delivery.is_safe, delivery.trouble
        return [receipt for receipt in delivery.receipts if receipt]

    async def send_until_safe(self, messages: list[Message]) -> None:
        async with asyncio.timeout(60):
            while not (await self.send(messages)).is_safe:
                pass


@asynccontextmanager
async def sending(servers: str, topic: str, **changes: int) -> AsyncIterator[Sending]:
    settings = producer_settings(Servers("apache", servers, ""), topic, **changes)
    producer = LoopProducer(settings)
    producer.start()
    try:
        yield Sending(producer)
    finally:
        await producer.close()


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(bounded())


def messages(count: int, size: int = 10) -> list[Message]:
    return [(b"visitor-%d" % n, b"%d".ljust(size, b".") % n) for n in range(count)]


def test_a_receipt_names_its_message(kafka: ApacheKafka) -> None:
    make_topic(kafka, "receipts")
    sent = messages(500)

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "receipts") as log:
            one_by_one = await asyncio.gather(*(log.send_safely([message]) for message in sent))
            together = await log.send_safely(sent)
            found = read(kafka, "receipts")
            assert [found[receipt] for (receipt,) in one_by_one] == sent
            assert [found[receipt] for receipt in together] == sent
            assert len(found) == 1_000

    run(test)


def test_a_key_has_the_partition_that_librdkafka_gives_it(kafka: ApacheKafka) -> None:
    make_topic(kafka, "partitions")
    sent = messages(100)
    other = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for key, value in sent:
        other.produce("partitions", value, key)
    assert other.flush(20) == 0
    theirs = {message: receipt[0] for receipt, message in read(kafka, "partitions").items()}

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "partitions") as log:
            ours = await log.send_safely(sent)
            assert [receipt[0] for receipt in ours] == [theirs[message] for message in sent]

    run(test)


def test_what_is_too_much_for_a_batch_goes_in_several(kafka: ApacheKafka) -> None:
    make_topic(kafka, "large")
    sent = messages(40, 200_000)

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "large") as log:
            receipts = await log.send_safely(sent)
            found = read(kafka, "large")
            assert [found[receipt] for receipt in receipts] == sent

    run(test)


def test_it_says_that_the_topic_is_missing_and_goes_on_once_it_is_there(
    kafka: ApacheKafka,
) -> None:
    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "later", timeout_ms=500) as log:
            delivery = await log.send(messages(1))
            assert "create_topics" in delivery.trouble
            make_topic(kafka, "later")
            await log.send_until_safe(messages(1))
            assert log.producer.trouble is None

    run(test)


def test_nothing_is_lost_or_doubled_while_the_broker_is_killed_and_started(
    kafka: ApacheKafka,
) -> None:
    make_topic(kafka, "killed")
    receipts: list[str] = []

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "killed", timeout_ms=60_000) as log:
            stop = asyncio.Event()

            async def send_on(sender: int) -> None:
                number = 0
                while not stop.is_set():
                    receipts.extend(await log.send_safely([(b"%d" % sender, b"%d" % number)]))
                    number += 1

            senders = [asyncio.create_task(send_on(sender)) for sender in range(20)]
            await asyncio.sleep(0.5)
            for _ in range(2):
                await asyncio.to_thread(kafka.kill)
                await asyncio.to_thread(kafka.start)
                before = len(receipts)
                while len(receipts) < before + 1_000:
                    await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*senders)

    run(test)
    found = read(kafka, "killed")
    assert sorted(found) == sorted(receipts), "each receipt is another event's, and none is left"
    assert set(Counter(found.values()).values()) == {1}


def test_a_frozen_broker_gets_a_503_in_time_and_then_nothing_twice(kafka: ApacheKafka) -> None:
    make_topic(kafka, "frozen")

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "frozen", timeout_ms=1_000) as log:
            await log.send_until_safe(messages(1))
            assert kafka.process is not None
            os.kill(kafka.process.pid, signal.SIGSTOP)
            try:
                loop = asyncio.get_running_loop()
                for again in range(3):
                    began = loop.time()
                    sent = messages(9, size=10 + again)
                    deliveries = await asyncio.gather(*(log.send([message]) for message in sent))
                    assert loop.time() - began < 2
                    assert not any(delivery.is_safe for delivery in deliveries)
                    assert log.producer.waiting == 0
            finally:
                os.kill(kafka.process.pid, signal.SIGCONT)
            await log.send_until_safe([(b"v", b"after")])

    run(test)
    values = Counter(value for _, value in read(kafka, "frozen").values())
    assert values[b"after"] >= 1
    assert all(values[value] <= 2 for _, value in messages(1)), "the first one was sent until safe"
    for again in range(3):
        assert all(values[value] <= 1 for _, value in messages(9, size=10 + again)[1:])


def test_it_begins_anew_in_a_topic_that_was_made_again(kafka: ApacheKafka) -> None:
    make_topic(kafka, "again")

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "again", timeout_ms=2_000) as log:
            await log.send_until_safe(messages(30))
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
            admin.delete_topics(["again"])["again"].result(20)
            while "again" in admin.list_topics(timeout=10).topics:
                await asyncio.sleep(0.05)
            make_topic(kafka, "again")
            await log.send_until_safe(messages(30))
            receipts = await log.send_safely(messages(30))
            found = read(kafka, "again")
            assert [found[receipt] for receipt in receipts] == messages(30)

    run(test)


def test_it_bounds_what_waits_while_kafka_is_away() -> None:
    async def test() -> None:
        async with sending("127.0.0.1:1", "t", timeout_ms=1_000, queue_events=10) as log:
            with pytest.raises(KafkaUnavailable, match="too many"):
                await log.send(messages(11))
            waiting = [asyncio.create_task(log.send([message])) for message in messages(10)]
            await asyncio.sleep(0)
            with pytest.raises(KafkaUnavailable, match="too many"):
                await log.send(messages(1))
            for task in waiting:
                assert "Kafka does not answer" in (await task).trouble
            assert log.producer.waiting == 0

    run(test)


def test_it_is_closed_once_all_is_safe(kafka: ApacheKafka) -> None:
    make_topic(kafka, "closed")
    delivery = Delivery(messages(100))

    async def test() -> None:
        async with sending(kafka.bootstrap_servers, "closed") as log:
            log.producer.produce(delivery)
        assert delivery.is_safe, delivery.trouble
        with pytest.raises(KafkaUnavailable):
            log.producer.produce(Delivery(messages(1)))

    run(test)


@pytest.mark.parametrize("is_away", [False, True], ids=["stored", "given-up"])
def test_whoever_is_told_may_produce_at_once(kafka: ApacheKafka, is_away: bool) -> None:
    """As a connection does whose next request has come already."""
    make_topic(kafka, f"at-once-{is_away}")
    servers = "127.0.0.1:1" if is_away else kafka.bootstrap_servers
    told: list[Delivery] = []

    async def test() -> None:
        async with sending(servers, f"at-once-{is_away}", timeout_ms=1_000) as log:

            def produce(before: Delivery | None = None) -> None:
                told.extend([before] if before else [])
                if len(told) < 3:
                    delivery = Delivery(messages(2))
                    delivery.done = produce
                    log.producer.produce(delivery)
                    assert log.producer.waiting == 2

            produce()
            async with asyncio.timeout(30):
                while len(told) < 3:
                    await asyncio.sleep(0.01)
            assert log.producer.waiting == 0
        assert [delivery.is_safe for delivery in told] == [not is_away] * 3

    run(test)
