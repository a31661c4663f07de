"""How fast a subject counts a log that is there already, seen from outside."""

import sys
import time
from collections.abc import Callable
from itertools import islice

import redis
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from bench.count.check import differences
from bench.count.layouts import Layout
from bench.count.running import SubjectProcess, cpu_of, running
from bench.count.servers import Servers
from bench.count.subjects import Subject
from bench.rounds import Measurement
from bench.usage import RssWatch

_LOOK_EVERY_S = 0.01
_TIMEOUT_S = 900
# Bytes; 0 would be no limit.
_NOTHING_MORE = 1
_TELL_DIFFERENCES = 5
# So much of a log has to be left when the clock starts.
_LEAST_LEFT = 0.2


class LogTooShort(RuntimeError):
    """Raised when most of a log was counted before a subject had really begun."""


class TooSlow(RuntimeError):
    """Raised when a subject does not come to the end of its log."""


class CatchUp:
    """Runs subjects against the servers' logs.

    The clock starts when the first events are in Redis, so that starting is not measured, and
    stops when all are: both as a reader of Redis sees it.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers.pipeline.bootstrap_servers})

    def measure(self, subject: Subject) -> Measurement:
        """Raises `LogTooShort`, `TooSlow`, or `ServerError` when the subject dies."""
        self._servers.pipeline.empty_store()
        layout = self._servers.layout(subject, subject.log.topic)
        with self._servers.pipeline.client() as client:
            found = self._count(subject, layout, client)
            wrong = self._check(subject, layout, client)
        millions = found["counted"] / 1e6
        return {
            "events/s": found["counted"] / found["seconds"],
            "CPU s": found["cpu"] / millions,
            "store CPU s": found["store_cpu"] / millions,
            "MB": found["MB"],
            "wrong": wrong,
        }

    def _count(self, subject: Subject, layout: Layout, client: redis.Redis) -> dict[str, float]:
        settings = self._servers.pipeline.settings(subject.log.topic)
        events = self._servers.truth(subject.log).events
        if subject.consumers > 1:
            client.config_set("maxmemory", _NOTHING_MORE)
        with running(subject, settings, events) as processes:
            if subject.consumers > 1:
                self._release(processes, client, settings["KAFKA_GROUP"])
            rss = RssWatch(*(process.pid for process in processes))
            rss.start()
            _wait(processes, lambda: layout.has_begun(client))
            first = _read(processes, layout, client)
            if events - first["counted"] < _LEAST_LEFT * events:
                raise LogTooShort(f"{subject}: give more --events, or let the machine be quieter.")
            _wait(processes, lambda: layout.counted(client) >= events)
            last = _read(processes, layout, client)
            most = rss.stop()
            if subject.ends:
                _wait_for_end(processes)
        return {**{name: last[name] - first[name] for name in last}, "MB": most / 2**20}

    def _release(self, processes: list[SubjectProcess], client: redis.Redis, group: str) -> None:
        """Let several consumers begin at once: Redis, which refused everything, takes it when all
        are members of the group."""
        try:
            _wait(processes, lambda: self._members(group) == len(processes))
        finally:
            client.config_set("maxmemory", 0)

    def _members(self, group: str) -> int:
        """Of a consumer group, once it has divided the partitions."""
        found = self._admin.describe_consumer_groups([group])[group].result(10)
        return len(found.members) if found.state == ConsumerGroupState.STABLE else 0

    def _check(self, subject: Subject, layout: Layout, client: redis.Redis) -> int:
        """1 when a number is wrong, which is said; else 0."""
        found = differences(client, layout, self._servers.truth(subject.log))
        some = list(islice(found, _TELL_DIFFERENCES))
        for difference in some:
            print(f"WRONG  {subject}: {difference}", file=sys.stderr)
        return int(bool(some))


def _read(processes: list[SubjectProcess], layout: Layout, client: redis.Redis) -> dict[str, float]:
    store = client.info("cpu")
    return {
        "counted": layout.counted(client),
        "seconds": time.monotonic(),
        "cpu": cpu_of(processes),
        "store_cpu": store["used_cpu_user_main_thread"] + store["used_cpu_sys_main_thread"],
    }


def _wait(processes: list[SubjectProcess], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        for process in processes:
            process.probe_or_die()
        if time.monotonic() > deadline:
            raise TooSlow(f"{processes[0].name} did not get there in {_TIMEOUT_S} s.")
        time.sleep(_LOOK_EVERY_S)


def _wait_for_end(processes: list[SubjectProcess]) -> None:
    for process in processes:
        assert process.process is not None  # noqa: S101  it was started
        process.process.wait(_TIMEOUT_S)
