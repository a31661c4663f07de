"""One cluster that stays up, and the runs on it: each with a new topic, group and store."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import QuerySet
from django.test import Client as Browser
from django.test import override_settings

from ingest.models import Site
from processing.log import Log, LogUnavailable
from processing.models import Segment
from tests.chaos import checks, clock
from tests.chaos.cluster import Servers
from tests.chaos.database import PostgreSQL
from tests.chaos.faults import Faults
from tests.chaos.product import HOOK, Product
from tests.chaos.proxy import Mode, Network
from tests.chaos.recount import Place, Record, recount
from tests.chaos.schedule import POSTGRESQL, S3, SQLITE, Fault, Schedule, draw
from tests.chaos.traffic import CLOSED_SITE, SITES, Client, Intruder, Journal
from tests.chaos.watcher import Watcher
from tests.chaos.websocket import LivePage
from tracker_site.embedded.child import BASE_DIR, manage
from tracker_site.embedded.servers import ServerError, wait_until

logger = logging.getLogger("chaos")

PARTITIONS, SHARDS, CLIENTS = 4, 4, 4
SEGMENT_EVENTS = 100
FAULTY_S = 8.0
_AFTER_HEALING_S = 1.0
_PATIENCE_S = 60.0
_DISK_BYTES = 16 * 2**20
# Events of a log that is deleted before the run begins.
_FIRST_LOG = 40


@dataclass
class Result:
    """What one run showed."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    deviations: list[str] = field(default_factory=list)
    recovery_s: float | None = None
    archived_s: float | None = None
    samples: int = 0


class Session:
    """Owns everything that runs. `directory` gets the logs of failed runs; `work` holds what
    goes with the session."""

    def __init__(
        self,
        directory: Path,
        work: Path,
        database: PostgreSQL | None = None,
        keep_logs: bool = False,
        patience: float = _PATIENCE_S,
    ) -> None:
        self._directory = directory
        self._work = work
        self.keep_logs = keep_logs
        # Seconds after which what is not counted or archived is a deviation.
        self.patience = patience
        self._network = Network()
        cache = BASE_DIR / ".cache" / "apache-kafka"
        self.servers = Servers(self._work, cache, self._network, database)
        self.database = POSTGRESQL if database else SQLITE
        self._disk: Path | None = None
        # What puts clocks wrong, where it can be had.
        self.clock_library: Path | None = None
        self._cookie = ""

    @contextmanager
    def running(self) -> Iterator["Session"]:
        try:
            self._prepare()
            yield self
        finally:
            self.servers.stop()
            self._network.close()
            if self.servers.database is not None:
                self.servers.database.remove()
            if self._disk is not None:
                subprocess.run(["umount", "-l", str(self._disk)], check=False)
            shutil.rmtree(self._work, ignore_errors=True)

    def run(self, seed: int) -> Result:
        """Play the seed's schedule on a new topic, and say what it did."""
        return self.play(draw(seed, FAULTY_S, self.database))

    def play(self, schedule: Schedule, mutant: str = "") -> Result:
        """The same with any schedule, and perhaps a bug planted."""
        run = _Run(self, schedule, mutant)
        try:
            return run.play()
        finally:
            run.close()

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def network(self) -> Network:
        return self._network

    @property
    def disk(self) -> Path | None:
        return self._disk

    @property
    def cookie(self) -> str:
        return self._cookie

    def _prepare(self) -> None:
        self.servers.start()
        self._disk = _small_disk(self._work / "disk")
        self.clock_library = clock.build(self._work)
        call_command("migrate", verbosity=0)
        for site, (time_zone, kept) in SITES.items():
            Site.objects.create(public_id=site, time_zone=time_zone, retention_days=kept)
        Site.objects.create(public_id=CLOSED_SITE, active=False)
        browser = Browser()
        browser.force_login(get_user_model().objects.create_superuser("chaos"))
        self._cookie = "; ".join(f"{k}={v.value}" for k, v in browser.cookies.items())


class _Run:
    def __init__(self, session: Session, schedule: Schedule, mutant: str) -> None:
        self._session = session
        self._servers = session.servers
        self.schedule = schedule
        self._seed = str(schedule.seed)
        self.topic = f"pageviews-{schedule.seed}-{int(time.time() * 1000)}"
        self._logs = session.directory / self._seed
        shutil.rmtree(self._logs, ignore_errors=True)
        self._logs.mkdir(parents=True)
        self._result = Result(schedule.seed)
        self._journal = Journal()
        self._stop = threading.Event()
        self._archive_url, self._archive_url_for_product = self._make_archive()
        self._environment = self._product_environment(mutant)
        _flush(self._servers)
        self._command("create_topics")
        redis_urls = {
            role: {"REDIS_URL": self._servers.redis.url(user)}
            for role, user in (
                ("consumer", "redis-count"), ("web", "redis-web"), ("gateway", "redis-web"),
                ("worker", "redis-tasks"), ("beat", "redis-tasks"),
            )
        }  # fmt: skip
        self._product = Product(
            self._environment, redis_urls, self._logs, session.network, self._clocks()
        )
        self._watcher = Watcher(self._servers.redis)
        self._faults = Faults(self._servers, self._product, self._watcher, session.disk)

    def play(self) -> Result:
        self._product.start()
        self._watcher.start()
        wait_until(self._is_up, 60, "the product's processes")
        logger.debug("The product is up")
        if self.schedule.remade:
            self._make_topic_again()
        senders = self._senders()
        for sender in senders:
            sender.start()
        self._faults.play(self.schedule.faults)
        logger.debug("The faults are over")
        self._faults.heal()
        logger.debug("All is healed")
        # The database may have died under this process's connections too.
        connections.close_all()
        healed, planned = time.monotonic(), self._planned()
        time.sleep(_AFTER_HEALING_S)
        self._stop.set()
        for sender in senders:
            sender.join(90)
        self._drain(healed, planned)
        self._rebuild()
        self._roll_back_in_silence()
        logger.debug("All is drained")
        self._check()
        logger.debug("All is checked")
        return self._finish()

    def close(self) -> None:
        self._stop.set()
        self._product.stop()
        if self._watcher.is_alive():
            self._watcher.close()
        if self._result.deviations or self._session.keep_logs:
            self._keep_logs()
        else:
            shutil.rmtree(self._logs, ignore_errors=True)
        # The disk is small, and the next run's.
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- Steps ------------------------------------------------------------------------

    def _make_topic_again(self) -> None:
        """Bots' views fill a first log. Once they are counted and archived, another one takes
        its place: the consumers stop, are started again, and count that from its start."""
        self._fill_topic()
        wait_until(self._is_counted, self._session.patience, "the count of the first log")
        first = self._topic_id()
        _manage(self._environment, "archive")
        wait_until(lambda: not self._unfinished().exists(), 30, "the archive of the first log")
        servers = AdminClient({"bootstrap.servers": self._servers.kafka.for_harness})
        servers.delete_topics([self.topic])[self.topic].result(30)
        wait_until(lambda: self._is_made(first), 30, "the new topic")
        consumers = self._product.of_role("consumer")
        wait_until(lambda: all(part.deaths for part in consumers), 90, "the consumers' stop")
        self._result.faults["topic made again"] += 1
        logger.debug("The topic is made again")

    def _fill_topic(self) -> None:
        """With what a recount of the next log need not know of."""
        producer = Producer({"bootstrap.servers": self._servers.kafka.for_harness})
        now = int(time.time() * 1000)
        event = {"id": "b", "site": "gone.example", "visitor": "b", "path": "/", "ts": now,
                 "received": now, "bot": "Crawler"}  # fmt: skip
        for number in range(_FIRST_LOG):
            producer.produce(self.topic, json.dumps(event), partition=number % PARTITIONS)
        assert producer.flush(30) == 0

    def _is_made(self, before: str) -> bool:
        """Whether there is a topic with another id; a deleted one is gone after a while."""
        _manage(self._environment, "create_topics")
        with suppress(LogUnavailable):
            return self._topic_id() != before
        return False

    def _senders(self) -> list[threading.Thread]:
        servers = self._servers.kafka.for_harness
        intruder = Intruder(self._seed, servers, self.topic, self._journal, self._stop)
        return [*(self._client(n, self._stop) for n in range(CLIENTS)), intruder]

    def _client(self, number: int, stop: threading.Event) -> Client:
        ports = [proxy.port for proxy in self._product.proxies.values()]
        return Client(number, self._seed, ports, self._journal, stop)

    def _planned(self) -> set[int]:
        return set(self._segments().values_list("pk", flat=True))

    def _drain(self, healed: float, planned_before: set[int]) -> None:
        """`planned_before`: the segments that there were when all was healed."""
        if self._within(self._session.patience, self._is_counted, "NOT COUNTED"):
            self._result.recovery_s = time.monotonic() - healed
        logger.debug("All is counted")
        if self._within(
            self._session.patience, lambda: self._is_archived(planned_before), "ARCHIVE ASLEEP"
        ):
            self._result.archived_s = time.monotonic() - healed
        logger.debug("All is archived")
        # What was handed out and lost with Redis is handed out again after ten minutes; a
        # person need not wait for that.
        if self._unfinished().exists():
            self._command("archive")

    def _rebuild(self) -> None:
        """Count all sites anew, first with a process that dies on the way."""
        if not self.schedule.rebuild or self._result.deviations:
            return
        logger.debug("Rebuild, killed at %s", self.schedule.rebuild)
        armed = self._logs / "rebuild.armed"
        armed.write_text(self.schedule.rebuild)
        environment = self._environment | {
            "REDIS_URL": self._servers.redis.url("redis-tasks"),
            "PYTHONPATH": os.pathsep.join((str(HOOK), str(BASE_DIR))),
            "CHAOS_ROLE": "rebuild",
            "CHAOS_ARMED": str(armed),
        }
        with self._watcher.rollback():
            first = _manage(environment, "rebuild")
            armed.unlink()
            second = self._rebuild_again(environment)
        if first.returncode == 0:
            self._result.skipped.append(f"rebuild did not come to {self.schedule.rebuild}")
        self._result.faults["rebuild"] += 1
        if second.returncode:
            self._result.deviations.append(f"REBUILD: {second.stderr.decode()[-500:]}")
        self._within(self._session.patience, self._is_counted, "NOT COUNTED after the rebuild")
        self._command("archive")

    def _rebuild_again(self, environment: dict[str, str]) -> "subprocess.CompletedProcess[bytes]":
        """While events come in, and perhaps Redis is turned back."""
        with ThreadPoolExecutor(1) as pool, self._sending(CLIENTS):
            rebuilding = pool.submit(_manage, environment, "rebuild")
            if self.schedule.rebuild_rewound_s:
                at = self.schedule.rebuild_rewound_s
                self._faults.play((Fault(at, "redis rewind", "redis", 0.0, "1.00"),))
            return rebuilding.result()

    @contextmanager
    def _sending(self, number: int) -> Iterator[None]:
        """A client sends meanwhile."""
        stop = threading.Event()
        client = self._client(number, stop)
        client.start()
        yield
        stop.set()
        client.join(30)

    def _roll_back_in_silence(self) -> None:
        """Redis loses its last events when no other ones follow."""
        kind = self.schedule.silent
        if not kind or self._result.deviations:
            return
        if kind == "redis failover":
            self._servers.redis.replication.mode = Mode.FREEZE
        with self._sending(CLIENTS + 1):
            time.sleep(0.8)
        wait_until(self._is_counted, self._session.patience, "the count before the silence")
        logger.debug("Silence: %s", kind)
        self._faults.play((Fault(0, kind, "redis", 0.0, "1.00"),))
        self._within(self._session.patience, self._is_counted, f"NOT COUNTED after a silent {kind}")
        logger.debug("All is counted after the silence")
        self._command("archive")

    def _within(self, seconds: float, condition: Callable[[], bool], what: str) -> bool:
        try:
            wait_until(condition, seconds, what)
        except ServerError:
            state = self._state()
            self._result.deviations.append(f"{what} within {seconds:.0f} s: {state}")
            return False
        return True

    def _command(self, name: str) -> None:
        """A command of the product in this process; a failure is a deviation."""
        output = StringIO()
        try:
            with override_settings(
                KAFKA_BOOTSTRAP_SERVERS=self._servers.kafka.for_harness,
                KAFKA_TOPIC=self.topic,
                KAFKA_DEAD_TOPIC=f"{self.topic}.dead",
                KAFKA_PARTITIONS=PARTITIONS,
                KAFKA_REPLICATION=3,
                REDIS_URL=f"redis://127.0.0.1:{self._servers.redis.primary.port}/0",
                REDIS_SHARDS=SHARDS,
                ARCHIVE_URL=self._archive_url,
                ARCHIVE_SEGMENT_EVENTS=SEGMENT_EVENTS,
            ):
                call_command(name, stdout=output, stderr=output)
        except CommandError as error:
            lines = output.getvalue().splitlines()[:5]
            self._result.deviations.append("; ".join((f"{name.upper()}: {error}", *lines)))

    def _check(self) -> None:
        self._command("reconcile")
        records = _read(self._servers.kafka.for_harness, self.topic, PARTITIONS)
        with self._servers.redis.primary.client() as store:
            noted = checks.noted_duplicates(store, self._topic_id(), SHARDS, PARTITIONS)
            found = recount(records, PARTITIONS, self._journal.garbage, int(time.time()), noted)
            evidence = checks.Evidence(
                records, self._dead(), self._journal, found, self._topic_id(), SHARDS, store,
                self._archive_url,
            )  # fmt: skip
            self._result.deviations += checks.deviations(evidence)
            self._result.deviations += self._check_live_pages(store)
        self._result.events["in the log"] = len(records)
        self._result.events.update(found.ledger)

    def _check_live_pages(self, store: Any) -> list[str]:
        web = self._product.web_ports["web-1"]
        wait_until(lambda: _listens(web), 90, "the live page's server")
        now = datetime.now(ZoneInfo("UTC"))
        days = {
            site: f"{now.astimezone(ZoneInfo(zone)):%Y%m%d}" for site, (zone, _) in SITES.items()
        }
        with ThreadPoolExecutor(len(SITES)) as pool:
            states = dict(zip(SITES, pool.map(self._live_state, SITES), strict=True))
        return list(checks.live_deviations(store, states, SHARDS, days))

    def _live_state(self, site: str) -> dict[str, Any]:
        page = LivePage(self._product.web_ports["web-1"], site, self._session.cookie)
        try:
            return page.follow(0.3)
        finally:
            page.close()

    def _finish(self) -> Result:
        result = self._result
        result.deviations += [f"FELL: {what}" for what in self._watcher.fell[:5]]
        result.deviations += [f"ANSWER: {what}" for what in self._journal.odd_answers[:5]]
        result.deviations += [f"HARNESS: {what}" for what in self._faults.broken]
        result.faults.update(self._faults.done)
        result.skipped += self._faults.skipped
        result.events.update(self._journal.counts())
        result.statuses = self._journal.statuses
        result.samples = self._watcher.samples
        return result

    # --- Questions --------------------------------------------------------------------

    def _is_up(self) -> bool:
        """Web processes listen, consumers have joined and reported."""
        try:
            topic_id = self._topic_id()
        except LogUnavailable:
            # Not every broker knows of a new topic at once.
            return False
        with self._servers.redis.primary.client() as client:
            reports = client.hlen(f"status:{topic_id}")
        return reports == PARTITIONS and all(
            _listens(port) for port in self._product.web_ports.values()
        )

    def _topic_id(self) -> str:
        """A healed broker on a busy machine may let its first caller wait for longer than that."""
        log = Log(self._servers.kafka.for_harness, self.topic)
        for _ in range(5):
            with suppress(LogUnavailable):
                return log.describe().id
        return log.describe().id

    def _is_counted(self) -> bool:
        return all(self._markers(shard) == self._ends() for shard in range(SHARDS))

    def _ends(self) -> dict[int, int]:
        return _ends(self._servers.kafka.for_harness, self.topic, PARTITIONS)

    def _markers(self, shard: int) -> dict[int, int]:
        with self._servers.redis.primary.client() as client:
            found: Any = client.hgetall(f"{{s{shard:02d}}}:marker:{self._topic_id()}")
        return {p: int(found.get(str(p).encode(), 0)) for p in range(PARTITIONS)}

    def _is_archived(self, planned_before: set[int]) -> bool:
        """What came to be planned after the healing is written, by Celery alone."""
        segments = self._segments().filter(topic_id=self._topic_id())
        planned = dict.fromkeys(range(PARTITIONS), 0)
        for segment in segments:
            planned[segment.partition] = max(planned[segment.partition], segment.end)
        young = segments.exclude(pk__in=planned_before)
        return planned == self._ends() and not young.exclude(state=Segment.State.WRITTEN).exists()

    def _state(self) -> str:
        markers = [self._markers(shard) for shard in range(SHARDS)]
        unfinished = [f"{s} {s.state} {s.error}" for s in self._unfinished()]
        return f"ends {self._ends()}, markers {markers}, segments {unfinished[:5]}"

    def _segments(self) -> "QuerySet[Segment]":
        return Segment.objects.filter(topic=self.topic)

    def _unfinished(self) -> "QuerySet[Segment]":
        return self._segments().filter(state__in=Segment.UNFINISHED)

    def _dead(self) -> list[tuple[Place, bytes]]:
        servers = self._servers.kafka.for_harness
        return [
            ((int(headers["partition"]), int(headers["offset"])), record.value)
            for record, headers in _read_with_headers(servers, f"{self.topic}.dead", 1)
        ]

    # --- Making -----------------------------------------------------------------------

    def _clocks(self) -> dict[str, clock.Clock]:
        """One for each process whose clock will be wrong."""
        library = self._session.clock_library
        if library is None:
            return {}
        wrong = {fault.target for fault in self.schedule.faults if fault.kind == "clock"}
        return {name: clock.Clock(library, self._logs / f"{name}.clock") for name in wrong}

    def _make_archive(self) -> tuple[str, str]:
        """Its URL for the harness, and for the product, which goes through the proxy."""
        if self.schedule.archive == S3:
            url = self._servers.s3.new_bucket()
            port, proxy = self._servers.s3.port, self._servers.s3_proxy.port
            return url, url.replace(f":{port}", f":{proxy}")
        return f"file://{self._folder}", f"file://{self._folder}"

    @property
    def _folder(self) -> Path:
        """Of the archive, where it is no bucket."""
        return (self._session.disk or self._session.directory / "folder") / self.topic

    def _product_environment(self, mutant: str) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self._servers.kafka.for_product,
            **self._servers.database_url,
            "KAFKA_TOPIC": self.topic,
            "KAFKA_GROUP": self.topic,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_REPLICATION": "3",
            "KAFKA_SESSION_TIMEOUT_MS": "3000",
            "KAFKA_DELIVERY_TIMEOUT_MS": "3000",
            "REDIS_SHARDS": str(SHARDS),
            "CONSUMER_BATCH_EVENTS": "200",
            "ARCHIVE_URL": self._archive_url_for_product,
            "ARCHIVE_SEGMENT_EVENTS": str(SEGMENT_EVENTS),
            "ARCHIVE_INTERVAL_SECONDS": "2",
            "RATE_LIMIT_ADDRESS": "0",
            "LOG_FORMAT": "text",
            "CHAOS_MUTANT": mutant,
        }

    def _keep_logs(self) -> None:
        for server in self._servers.all:
            with suppress(FileNotFoundError):
                shutil.copy(server.log_path, self._logs / server.log_path.name)
        lines = [*map(str, self.schedule.faults), "", *self._result.deviations]
        (self._logs / "deviations.txt").write_text("\n".join(lines) + "\n")


def _manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, *manage(*arguments)],
        cwd=BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
    )


def _flush(servers: Servers) -> None:
    with servers.redis.primary.client() as client:
        client.flushall()
    servers.redis.follow()


def _small_disk(directory: Path) -> Path | None:
    """A disk that can be filled; None where this user may not mount one."""
    directory.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "chaos", str(directory)]
    done = subprocess.run(["mount", *options], capture_output=True)
    if done.returncode:
        logger.info("No disk to fill: %s", done.stderr.decode().strip())
        return None
    return directory


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _reader(servers: str) -> Consumer:
    return Consumer(
        {"bootstrap.servers": servers, "group.id": "auditor", "enable.auto.commit": False,
         "auto.offset.reset": "error", "enable.partition.eof": True, "log_level": 0}
    )  # fmt: skip


def _ends(servers: str, topic: str, partitions: int) -> dict[int, int]:
    reader = _reader(servers)
    try:
        return {
            p: reader.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
            for p in range(partitions)
        }
    except KafkaException:
        return {}
    finally:
        reader.close()


def _read(servers: str, topic: str, partitions: int) -> list[Record]:
    return [record for record, _ in _read_with_headers(servers, topic, partitions)]


def _read_with_headers(
    servers: str, topic: str, partitions: int
) -> list[tuple[Record, dict[str, bytes]]]:
    """The whole topic, with a plain consumer."""
    reader = _reader(servers)
    found: list[tuple[Record, dict[str, bytes]]] = []
    try:
        reader.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        open_ = set(range(partitions))
        deadline = time.monotonic() + 30
        while open_:
            assert time.monotonic() < deadline, f"{topic} can't be read to its end"
            for message in reader.consume(1_000, timeout=0.2):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_.discard(message.partition() or 0)
                    continue
                headers: Any = dict(message.headers() or [])
                record = Record(message.partition() or 0, message.offset() or 0,
                                message.value() or b"")  # fmt: skip
                found.append((record, headers))
    finally:
        reader.close()
    return found
