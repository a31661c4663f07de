"""`manage.py gateway` as a whole: its processes, their replacement and their end, Kafka that goes
and comes, and what settings do."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from processing.log import Log
from tests.conftest import Servers, make_topic, run_command
from tests.ingest.conftest import stoppable_kafka
from tests.processing.pipeline import wait_for
from tests.tracker_site.test_serve import assert_stopped_cleanly, listens
from tests.tracker_site.web import Answer, Gateway, read_answer
from tracker_site.embedded.servers import ApacheKafka

SECONDS = 90.0
CLIENTS = 6
SITE, OTHER = "localhost", "other.example"

# One after the other: they are about time and memory.
pytestmark = pytest.mark.xdist_group("gateway")


class TwoProcesses(Gateway):
    """The gateway with two workers."""

    arguments = ("gateway", "--workers", "2")


@pytest.fixture(scope="module")
def environment(embedded_servers: Servers, migrated_database: str) -> dict[str, str]:
    names = (SITE, OTHER)
    add_sites = f"[Site.objects.get_or_create(public_id=name) for name in {names}]"
    run_command(
        migrated_database, "shell", "-v0", "-c", f"from ingest.models import Site; {add_sites}"
    )
    return {
        "DATABASE_URL": migrated_database,
        "REDIS_URL": embedded_servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_servers.bootstrap_servers,
        "RATE_LIMIT_ADDRESS": "0",
    }


@pytest.fixture
def topic(embedded_servers: Servers) -> str:
    return make_topic(embedded_servers)


Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str], topic: str) -> Iterator[Start]:
    """Starts a gateway with these settings."""
    with ExitStack() as stack:

        def start(kind: type[Gateway] = Gateway, **changes: str) -> Gateway:
            gateway = kind(tmp_path, environment | {"KAFKA_TOPIC": topic} | changes)
            gateway.start_timeout = SECONDS
            stack.callback(gateway.stop)
            gateway.start()
            wait_for(lambda: "The gateway serves" in gateway.log_path.read_text(), "all", SECONDS)
            return gateway

        yield start


def connect(gateway: Gateway) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS)


def post(connection: HTTPConnection, site: str = SITE, **headers: str) -> Answer:
    body = json.dumps({"page_url": "/", "site": site})
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/api/v1/track", body, {"Content-Type": "application/json"} | fields)
    return read_answer(connection)


def post_once(gateway: Gateway, **headers: str) -> Answer:
    with closing(connect(gateway)) as connection:
        return post(connection, **headers)


def pid(gateway: Gateway) -> int:
    assert gateway.process is not None
    return gateway.process.pid


def workers(gateway: Gateway) -> set[int]:
    """Its processes that are no zombies."""
    found = Path(f"/proc/{pid(gateway)}/task/{pid(gateway)}/children").read_text().split()
    return {int(one) for one in found if runs(int(one))}


def runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


# --- Replaced, stopped, killed -----------------------------------------------------------


class Load:
    """Clients that send one event after the other, each on a connection that it keeps until it
    is told to close it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]
        self.receipts: list[str] = []
        # What should not have happened.
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(SECONDS)

    def wait_for_more(self, requests: int = 50) -> None:
        wanted = len(self.receipts) + requests
        wait_for(lambda: len(self.receipts) >= wanted or bool(self.failures), "answers", SECONDS)

    def _send(self) -> None:
        """Until the stop, or until nobody listens any more."""
        while not self._stop.is_set():
            with closing(connect(self._gateway)) as connection:
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
                self._send_on(connection)

    def _send_on(self, connection: HTTPConnection) -> None:
        sent = 0
        while not self._stop.is_set() and connection.sock is not None:
            try:
                answer = post(connection)
            except (OSError, HTTPException) as error:
                self.failures.append(f"request {sent} of its connection: {error!r}")
                return
            sent += 1
            if answer.status == 202:
                self.receipts.append(answer.body["receipt"])
            else:
                self.failures.append(f"{answer.status} {answer.body}")


def assert_all_kept(load: Load, servers: Servers, topic: str) -> None:
    """Every event that was answered is in the log, each at a place of its own."""
    assert load.failures == []
    ends = Log(servers.bootstrap_servers, topic).ends(2)
    logged = {f"{partition}-{offset}" for partition in ends for offset in range(ends[partition])}
    assert len(set(load.receipts)) == len(load.receipts)
    assert set(load.receipts) == logged


def replace_workers(gateway: Gateway) -> None:
    """SIGHUP; returns once the old processes are gone."""
    old = workers(gateway)
    os.kill(pid(gateway), signal.SIGHUP)
    wait_for(lambda: not any(runs(one) for one in old), "the old processes to end", SECONDS)
    assert len(workers(gateway)) == 2


def test_it_replaces_its_processes_and_nobody_notices(
    start: Start, embedded_servers: Servers, topic: str
) -> None:
    gateway = start(TwoProcesses)
    with Load(gateway) as load:
        for _ in range(2):
            load.wait_for_more()
            replace_workers(gateway)
        load.wait_for_more()
    assert_all_kept(load, embedded_servers, topic)
    gateway.stop()
    assert_stopped_cleanly(gateway)


def test_it_answers_whatever_was_sent_before_it_stops(
    start: Start, embedded_servers: Servers, topic: str
) -> None:
    gateway = start(TwoProcesses)
    with Load(gateway) as load:
        load.wait_for_more()
        os.kill(pid(gateway), signal.SIGTERM)
        load.join()
    assert_stopped_cleanly(gateway)
    assert_all_kept(load, embedded_servers, topic)


def test_it_replaces_a_process_that_died(start: Start) -> None:
    gateway = start(TwoProcesses)
    before = workers(gateway)
    os.kill(min(before), signal.SIGKILL)
    wait_for(lambda: min(before) not in workers(gateway), "its end", SECONDS)
    assert post_once(gateway).status == 202, "the other one goes on"
    wait_for(lambda: len(workers(gateway)) == 2, "another process", SECONDS)
    os.kill(max(before), signal.SIGKILL)
    wait_for(lambda: max(before) not in workers(gateway), "its end", SECONDS)
    assert post_once(gateway).status == 202, "the new one serves"


def test_its_processes_end_with_the_one_that_started_them(start: Start) -> None:
    gateway = start(TwoProcesses)
    orphans = workers(gateway)
    gateway.kill()
    wait_for(lambda: not listens(gateway), "the port to be free", SECONDS)
    gateway.start()
    assert post_once(gateway).status == 202
    wait_for(lambda: not any(runs(one) for one in orphans), "the orphans to end", SECONDS)
    assert not workers(gateway) & orphans


# --- What it follows ---------------------------------------------------------------------


def has_status(gateway: Gateway, site: str, status: int) -> bool:
    return post_once(gateway, site=site).status == status


def test_it_follows_the_sites(start: Start, environment: dict[str, str]) -> None:
    """They are read every half a second."""
    gateway = start()
    for active, status in ((False, 403), (True, 202)):
        change = f"Site.objects.filter(public_id='{OTHER}').update(active={active})"
        code = f"from ingest.models import Site; {change}"
        run_command(environment["DATABASE_URL"], "shell", "-v0", "-c", code)
        wait_for(partial(has_status, gateway, OTHER, status), f"{status} for the site", SECONDS)
        assert post_once(gateway).status == 202


# --- Who sends too much ------------------------------------------------------------------


def test_it_limits_one_site_and_no_other(start: Start) -> None:
    gateway = start(RATE_LIMIT_SITE="20")
    with closing(connect(gateway)) as connection:
        batch = json.dumps({"events": [{"page_url": "/", "site": SITE}] * 1_000})
        for _ in range(2):  # the burst is one batch; what more was sent is owed
            connection.request("POST", "/api/v1/track/batch", batch, {"Content-Type": "text/plain"})
            read_answer(connection)
        flood = [post(connection) for _ in range(50)]
        others = [post(connection, OTHER) for _ in range(50)]
    assert Counter(answer.status for answer in others) == {202: 50}
    refused = [answer for answer in flood if answer.status == 429]
    assert len(refused) >= 40
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert refused[0].body["error"]["field"] == "site"


@pytest.mark.parametrize(("trusted", "second"), [("", 429), ("127.0.0.0/8", 202)])
def test_it_tells_addresses_apart_by_what_trusted_proxies_say(
    start: Start, trusted: str, second: int
) -> None:
    """Nobody else gets round the limit by writing X-Forwarded-For."""
    gateway = start(RATE_LIMIT_ADDRESS="1", TRUSTED_PROXIES=trusted)
    with closing(connect(gateway)) as connection:
        one = [post(connection, X_Forwarded_For="203.0.113.1").status for _ in range(20)]
        other = post(connection, X_Forwarded_For="203.0.113.2")
    assert one[0] == 202 and one[-1] == 429
    assert other.status == second


# --- Kafka goes and comes ----------------------------------------------------------------

QUEUE_EVENTS = 20
DELIVERY_SECONDS = 2.0


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """An Apache Kafka that the test may stop and start."""
    yield from stoppable_kafka(tmp_path / "kafka", ApacheKafka)


def rss_mb(process: int) -> float:
    line = next(
        line
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


def threads(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def post_at_once(gateway: Gateway, requests: int) -> list[tuple[Answer, float]]:
    """Each on a connection of its own, with the seconds that the answer took."""
    answers: list[tuple[Answer, float]] = []

    def send() -> None:
        started = time.monotonic()
        answer = post_once(gateway)
        answers.append((answer, time.monotonic() - started))

    sending = [threading.Thread(target=send) for _ in range(requests)]
    for thread in sending:
        thread.start()
    for thread in sending:
        thread.join(SECONDS)
    return answers


def assert_unavailable(answers: list[tuple[Answer, float]]) -> None:
    assert {answer.status for answer, _ in answers} == {503}
    assert {answer.headers["Retry-After"] for answer, _ in answers} == {"2"}
    assert max(seconds for _, seconds in answers) < DELIVERY_SECONDS + 10


def is_ready(gateway: Gateway) -> int:
    return gateway.get("/readyz").status


def accepts(gateway: Gateway) -> bool:
    return post_once(gateway).status == 202


def test_it_lives_through_kafkas_absence(start: Start, kafka: ApacheKafka) -> None:
    servers = Servers("apache", kafka.bootstrap_servers, "")
    gateway = start(
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        KAFKA_TOPIC=make_topic(servers),
        KAFKA_DELIVERY_TIMEOUT_MS=str(int(DELIVERY_SECONDS * 1_000)),
        KAFKA_QUEUE_EVENTS=str(QUEUE_EVENTS),
    )
    wait_for(lambda: accepts(gateway), "the first event to be taken", SECONDS)
    wait_for(lambda: is_ready(gateway) == 200, "the gateway to be ready", SECONDS)
    (worker,) = workers(gateway)

    kafka.kill()
    assert_unavailable(post_at_once(gateway, 3 * QUEUE_EVENTS))  # and all is warm now
    memory, tasks = rss_mb(worker), threads(worker)
    for _ in range(5):
        answers = post_at_once(gateway, 3 * QUEUE_EVENTS)
        assert_unavailable(answers)
        at_once = [seconds for answer, seconds in answers if "too many" in str(answer.body)]
        assert at_once and min(at_once) < DELIVERY_SECONDS, "the queue is full: no wait for it"
    assert rss_mb(worker) < memory + 20
    assert threads(worker) <= tasks
    wait_for(lambda: is_ready(gateway) == 503, "the gateway to tell", SECONDS)

    kafka.start()
    wait_for(lambda: accepts(gateway), "an event to be taken", SECONDS)
    wait_for(lambda: is_ready(gateway) == 200, "the gateway to be ready again", SECONDS)
    assert workers(gateway) == {worker}, "it was not started anew"
