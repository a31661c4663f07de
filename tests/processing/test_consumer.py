"""The consumer against real brokers and stores."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from ingest.pageview import encode
from processing import keys
from processing.consumer import ConsumerStopped
from processing.management.commands.consume import kafka_settings
from processing.stats import now_ms
from tests.processing.pipeline import Pipeline, page_view, wait_for


def today(pipeline: Pipeline) -> dict[str, int]:
    day = datetime.now(UTC).date()
    return pipeline.stats.totals(pipeline.site, day, day)


def test_it_counts_each_event_once(pipeline: Pipeline) -> None:
    pipeline.send(page_view(f"/{n % 3}", f"v{n % 10}") for n in range(100))
    pipeline.count_all(100)
    day = datetime.now(UTC).date()
    found = {"pageviews": 100, "visitors": 10, "bots": 0, "visits": 10, "bounces": 0}
    assert found.items() <= today(pipeline).items()
    assert pipeline.stats.pages(pipeline.site, day, day, 10) == [
        {"path": "/0", "pageviews": 34, "visitors": 10, "bots": 0},
        {"path": "/1", "pageviews": 33, "visitors": 10, "bots": 0},
        {"path": "/2", "pageviews": 33, "visitors": 10, "bots": 0},
    ]


def test_it_begins_at_the_markers_after_a_restart(pipeline: Pipeline) -> None:
    pipeline.send(page_view() for _ in range(10))
    pipeline.count_all(10)
    pipeline.send(page_view() for _ in range(5))
    pipeline.count_all(15)
    assert today(pipeline)["pageviews"] == 15
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["read"], totals["counted"]) == (15, 15)


def test_it_starts_again_from_the_log_when_the_store_is_emptied(pipeline: Pipeline) -> None:
    consumer = pipeline.consumer()
    pipeline.send(page_view() for _ in range(10))
    sent = 10

    def empty_once() -> bool:
        nonlocal sent
        if pipeline.read() == 10 and sent == 10:
            pipeline.client.flushall()
            pipeline.send(page_view() for _ in range(7))
            sent = 17
        return pipeline.read() == 17

    pipeline.run_until(consumer, empty_once)
    assert today(pipeline)["pageviews"] == 17


def test_it_tells_what_it_reached_although_its_clock_was_put_back(pipeline: Pipeline) -> None:
    ahead_ms = 240_000
    pipeline.send(page_view() for _ in range(10))

    def reports() -> list[dict[str, int]]:
        found = pipeline.client.hvals(keys.status(pipeline.log.describe().id))
        return [json.loads(report) for report in found]

    def put_back_once() -> bool:
        nonlocal ahead_ms
        if pipeline.read() == 10 and reports():
            ahead_ms = 0
        return ahead_ms == 0 and all(r["through"] <= r["at"] <= now_ms() for r in reports())

    consumer = pipeline.consumer(clock=lambda: now_ms() + ahead_ms)
    pipeline.run_until(consumer, put_back_once)


def test_it_counts_again_what_the_store_lost_while_nothing_arrives(pipeline: Pipeline) -> None:
    """A Redis that fails over to a replica that lags may cost the consumer not one error."""
    pipeline.send(page_view() for _ in range(10))
    emptied = False

    def empty_once() -> bool:
        nonlocal emptied
        if pipeline.read() == 10 and not emptied:
            emptied = True
            pipeline.client.flushall()
        return emptied and pipeline.read() == 10

    pipeline.run_until(pipeline.consumer(), empty_once)
    assert today(pipeline)["pageviews"] == 10


@pytest.mark.parametrize(("session_ms", "heartbeat_ms"), [(45_000, 3_000), (3_000, 750)])
def test_its_heart_beats_faster_than_its_session_ends(
    settings: Any, session_ms: int, heartbeat_ms: int
) -> None:
    settings.KAFKA_SESSION_TIMEOUT_MS = session_ms
    assert kafka_settings()["heartbeat.interval.ms"] == heartbeat_ms


def test_it_counts_a_repeated_event_id_once(pipeline: Pipeline) -> None:
    pipeline.send(page_view("/a", id="one", retryable=True) for _ in range(3))
    pipeline.count_all(3)
    pipeline.send(
        [page_view("/a", id="one", retryable=True), page_view("/a", id="two", retryable=True)]
    )
    pipeline.count_all(5)
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["counted"], totals["duplicate"]) == (2, 3)
    assert today(pipeline)["pageviews"] == 2


def test_it_counts_a_repeated_import_once_after_the_window(pipeline: Pipeline) -> None:
    now = now_ms()
    long_ago = now - 3_000 * 86_400_000
    yesterday, today_ = now - 86_400_000, now
    for received in (yesterday, today_):
        pipeline.send(
            [page_view("/old", id="line", retryable=True, ts=long_ago, received=received)]
        )
    pipeline.count_all(2)
    assert pipeline.stats.ledger()["totals"]["duplicate"] == 1


def test_it_puts_what_it_cannot_read_aside(pipeline: Pipeline) -> None:
    bad = [
        b"",
        b"not json",
        b'{"v": 1}',
        b"\xff\xfe",
        b'{"v":2,"id":"a","site":"b","visitor":"c","path":"/","ts":1,"received":1}',
    ]
    pipeline.send([page_view(), *bad, page_view()], partition=0)
    pipeline.count_all(7)
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["counted"], totals["invalid"]) == (2, 5)
    dead = list(_dead(pipeline).read(0, 0, 5))
    assert [message.value() for message in dead] == bad
    headers = dict(dead[1].headers() or [])
    assert headers["offset"] == b"2" and b"JSON" in headers["reason"]


def test_it_stops_when_everything_is_invalid(pipeline: Pipeline) -> None:
    pipeline.send([b"?"] * 20, partition=0)
    with pytest.raises(ConsumerStopped, match="no page views"):
        pipeline.run_until(pipeline.consumer(max_invalid=10), lambda: pipeline.read() == 20)
    assert pipeline.read() == 0


def test_it_treats_a_topic_made_again_as_a_new_log(
    pipeline: Pipeline, migrated_database: str
) -> None:
    """In processes of their own: the Kafka client may crash when a topic's id changes."""
    pipeline.send(page_view() for _ in range(10))
    with pipeline.process(migrated_database) as first:
        wait_for(lambda: pipeline.read() == 10, "the first log to be counted")
        pipeline.make_topic_again()
        assert first.wait(30) != 0
    with pipeline.process(migrated_database):
        Pipeline(pipeline.servers, pipeline.topic, pipeline.client).send(
            page_view() for _ in range(12)
        )
        wait_for(lambda: pipeline.read() == 12, "the second log to be counted")
    ledger = pipeline.stats.ledger()
    assert ledger["totals"]["counted"] == 12
    assert ledger["earlier_logs"]["counted"] == 10
    assert today(pipeline)["pageviews"] == 22


def test_it_counts_each_event_once_when_it_is_killed(
    pipeline: Pipeline, migrated_database: str
) -> None:
    """SIGKILL again and again while it counts."""
    sent = 20_000
    pipeline.send(page_view(f"/{n % 50}", f"v{n % 500}") for n in range(sent))
    for _ in range(3):
        with pipeline.process(migrated_database, CONSUMER_BATCH_EVENTS="200") as process:
            before = pipeline.read()
            wait_for(lambda: pipeline.read() > before, "progress")  # noqa: B023
            process.kill()
        assert pipeline.read() < sent, "it was counted before it could be killed"
    pipeline.count_all(sent)
    assert today(pipeline)["pageviews"] == sent
    totals = pipeline.stats.ledger()["totals"]
    assert totals["counted"] == totals["read"] == sent


def test_it_shares_partitions_with_another_consumer(pipeline: Pipeline) -> None:
    consumers = [pipeline.consumer() for _ in range(2)]
    threads = [threading.Thread(target=consumer.run) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            pipeline.send(page_view(visitor=f"v{n}") for n in range(40))
        wait_for(lambda: pipeline.read() == 200, "200 events read")
    finally:
        for consumer, thread in zip(consumers, threads, strict=True):
            consumer.stop()
            thread.join()
    assert today(pipeline)["pageviews"] == 200


def test_it_begins_and_keeps_up_while_events_keep_coming(pipeline: Pipeline) -> None:
    """A partition whose end is never seen because it moves on is no reason to wait."""
    sent, done = [0], threading.Event()

    def send() -> None:
        while not done.is_set():
            pipeline.send(page_view(visitor=f"v{n}") for n in range(20))
            sent[0] += 20
            done.wait(0.005)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        pipeline.run_until(pipeline.consumer(), lambda: pipeline.read() > 2_000)
    finally:
        done.set()
        sender.join()
    pipeline.count_all(sent[0])
    assert today(pipeline)["pageviews"] == sent[0]


class AstrayConsumer(Consumer):
    """Begins to read three offsets later than it was told, once (as in librdkafka #5345)."""

    astray = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        if partitions and not self.astray:
            self.astray = True
            partitions = [
                TopicPartition(tp.topic, tp.partition, tp.offset + 3 * (tp.partition == 0))
                for tp in partitions
            ]
        super().assign(partitions)


def test_it_loses_nothing_when_kafkas_client_begins_elsewhere(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tests.processing.pipeline.Consumer", AstrayConsumer)
    pipeline.send((page_view(visitor=f"v{n}") for n in range(20)), partition=0)
    pipeline.count_all(20)
    assert "the offsets 0 to 2 were not read" in caplog.text
    assert pipeline.stats.ledger()["totals"]["holes"] == 0
    assert today(pipeline)["pageviews"] == 20


def test_it_passes_over_offsets_without_a_message(pipeline: Pipeline) -> None:
    """The end of a transaction takes an offset."""
    if pipeline.servers.kind != "apache":
        pytest.skip("the embedded broker writes no markers of transactions")
    producer = Producer(
        {"bootstrap.servers": pipeline.servers.bootstrap_servers, "transactional.id": "t"}
    )
    producer.init_transactions(20)
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(pipeline.topic, encode(page_view()), partition=0)
        producer.commit_transaction(20)
    # The broker answers before it has written the end.
    wait_for(lambda: pipeline.log.ends(2)[0] == 6, "the ends of the transactions")
    pipeline.send([page_view()], partition=0)
    pipeline.run_until(pipeline.consumer(), lambda: today(pipeline)["pageviews"] == 4)
    totals = pipeline.stats.ledger()["totals"]
    assert (totals["counted"], totals["holes"]) == (4, 3)


def test_it_balances_at_every_moment(pipeline: Pipeline) -> None:
    pipeline.send(
        page_view(id=f"{n % 50}", retryable=True, visitor=f"v{n % 7}") for n in range(300)
    )

    def check() -> bool:
        for row in pipeline.stats.ledger()["partitions"]:
            parts = sum(row[name] for name in ("counted", "duplicate", "bot", "late", "invalid"))
            assert row["read"] == parts
        return pipeline.read() == 300

    pipeline.run_until(pipeline.consumer(batch_events=7), check)
    assert pipeline.stats.ledger()["totals"]["counted"] == 50


def _dead(pipeline: Pipeline):  # type: ignore[no-untyped-def]
    from processing.log import Log

    return Log(pipeline.servers.bootstrap_servers, f"{pipeline.topic}.dead")
