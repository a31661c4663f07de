"""The whole system on one machine: servers and processes, started, watched and stopped."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from processing.counters import connect
from processing.keys import current_log, status
from tracker_site.embedded.child import BASE_DIR, Child, celery, manage
from tracker_site.embedded.servers import (
    ApacheKafka,
    Server,
    ServerError,
    Tansu,
    Valkey,
    wait_until,
)
from tracker_site.embedded.shutdown import Say, Shutdown
from tracker_site.embedded.state import StackState
from tracker_site.settings import env

READY_SECONDS = 60.0
_MOST_BACKOFF_S = 30.0


class Stack:
    """Everything that `manage.py up` runs in one data directory.

    Parts that the environment names (`KAFKA_BOOTSTRAP_SERVERS`, `REDIS_URL`) are used
    instead of embedded ones. `kafka` is `embedded` or `apache`.
    """

    def __init__(self, state: StackState, host: str, port: int, kafka: str, say: Say) -> None:
        self._state = state
        self._host = host
        self._port = port
        self._say = say
        self.url = f"http://localhost:{port}"
        directory = state.directory
        self.servers: list[Server] = []
        self.environment = _settings(directory, self.url)
        if "REDIS_URL" not in self.environment:
            store = Valkey(directory / "store", save=True)
            self.servers.append(store)
            self.environment["REDIS_URL"] = store.url
        if "KAFKA_BOOTSTRAP_SERVERS" not in self.environment:
            broker = _broker(kafka, directory)
            self.servers.append(broker)
            self.environment["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        self.children = self._children(directory)
        self._restarts: dict[str, tuple[int, float]] = {}

    @property
    def keeps_log_in_memory(self) -> bool:
        return any(isinstance(server, Tansu) for server in self.servers)

    def start_servers(self) -> None:
        for server in self.servers:
            server.spawn()
            self._write_state()
        for server in self.servers:
            server.wait_ready()

    def start_children(self) -> None:
        """Make the topics, then start the product's own processes."""
        self.run_command("create_topics")
        for child in self.children:
            child.spawn()
            self._write_state()

    def wait_ready(self) -> None:
        """Until /readyz is 200 and the consumer has reported. Raises `ServerError`."""
        wait_until(self._is_ready, READY_SECONDS, f"the stack (logs: {self.logs})")

    @property
    def logs(self) -> Path:
        return self._state.directory / "logs"

    def watch(self, stopping: threading.Event) -> None:
        """Start again what dies, until told to stop."""
        while not stopping.wait(0.3):
            for part in [*self.servers, *self.children]:
                if part.process is not None and part.process.poll() is not None:
                    self._revive(part)

    def shutdown(self) -> Shutdown:
        parts = [*self.servers, *self.children]
        running = {
            part.name: psutil.Process(part.process.pid)
            for part in parts
            if part.process is not None and part.process.poll() is None
        }
        return Shutdown(running, self.environment, self._say)

    def run_command(self, *arguments: str) -> None:
        """A management command in this stack. Raises `ServerError` with its last words."""
        done = subprocess.run(
            [sys.executable, *manage(*arguments)],
            cwd=BASE_DIR,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ServerError(f"manage.py {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")

    def _children(self, directory: Path) -> list[Child]:
        schedule = str(directory / "beat-schedule")
        web = manage("serve", "--host", self._host, "--port", str(self._port))
        worker = celery("worker", "--pool=solo", "--loglevel=WARNING", "--without-mingle")
        beat = celery("beat", "--loglevel=WARNING", f"--schedule={schedule}", "--pidfile=")
        return [
            Child(name, arguments, self.environment, directory / "logs")
            for name, arguments in (
                ("web", web),
                ("consumer", manage("consume")),
                ("worker", worker),
                ("beat", beat),
            )
        ]

    def _write_state(self) -> None:
        self._state.write(
            {
                "supervisor": os.getpid(),
                "url": self.url,
                "environment": self.environment,
                "processes": [
                    {
                        "name": part.name,
                        "pid": part.process.pid,
                        "created": psutil.Process(part.process.pid).create_time(),
                    }
                    for part in [*self.servers, *self.children]
                    if part.process is not None and part.process.poll() is None
                ],
            }
        )

    def _is_ready(self) -> bool:
        for part in [*self.servers, *self.children]:
            part.probe_or_die()
        return self._answers() and self._counts()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=3):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _counts(self) -> bool:
        """Whether a consumer has reported every partition of the current log as read."""
        with connect(self.environment["REDIS_URL"]) as client:
            topic = client.get(current_log(self.environment.get("KAFKA_TOPIC", "pageviews")))
            reports = client.hvals(status(topic.decode())) if topic else []
        now = time.time() * 1000
        return bool(reports) and all(now - json.loads(r)["at"] < 5_000 for r in reports)

    def _revive(self, part: Server) -> None:
        """Start a part again, later and later when it keeps dying."""
        times, last = self._restarts.get(part.name, (0, 0.0))
        now = time.monotonic()
        if now - last > 60:
            times = 0
        if now - last < min(_MOST_BACKOFF_S, 2.0**times - 1):
            return
        code = part.process.returncode if part.process else None
        self._say(f"{part.name} ended (code {code}) and is started again; log: {part.log_path}")
        self._restarts[part.name] = (times + 1, now)
        part.spawn()
        self._write_state()
        if isinstance(part, Tansu):
            self._begin_new_log(part)

    def _begin_new_log(self, broker: Server) -> None:
        """The embedded broker came back with an empty log: make its topics, and give its
        clients new processes, because none survives a topic that was made again."""
        self._say("The embedded broker's log is gone: what was accepted and not counted is lost.")
        broker.wait_ready()
        self.run_command("create_topics")
        for child in self.children:
            child.stop()
            child.spawn()
        self._write_state()


def _broker(kind: str, directory: Path) -> Tansu | ApacheKafka:
    if kind == "apache":
        return ApacheKafka(directory / "kafka", BASE_DIR / ".cache" / "apache-kafka")
    return Tansu(directory / "broker")


def _settings(directory: Path, url: str) -> dict[str, str]:
    """Those that the environment has, which commands in other terminals have to know as well, and
    those of an embedded stack."""
    given = {name: os.environ[name] for name in env.declared if os.environ.get(name)}
    defaults = {
        "DATA_DIR": str(directory),
        "PUBLIC_URL": url,
        "LOG_FORMAT": "text",
        "KAFKA_PARTITIONS": "4",
        # The embedded broker takes half of it to admit a consumer to its group.
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "ARCHIVE_INTERVAL_SECONDS": "60",
    }
    return {**defaults, **given}


def stop_leftovers(state: StackState, say: Say) -> bool:
    """Stop, in order, the processes that a killed supervisor left; whether there were any."""
    last = state.read()
    left = dict(filter(None, map(_still_running, _entries(last))))
    if not left:
        return False
    say(f"An earlier stack was killed and left {', '.join(left)}; stopping them in order.")
    environment = last.get("environment")
    Shutdown(left, environment if isinstance(environment, dict) else {}, say).run()
    return True


def _entries(state: dict[str, object]) -> list[dict[str, object]]:
    processes = state.get("processes", [])
    return processes if isinstance(processes, list) else []


def _still_running(entry: dict[str, object]) -> tuple[str, psutil.Process] | None:
    """The process of an entry, unless its number belongs to another one by now."""
    try:
        process = psutil.Process(int(str(entry["pid"])))
        same = abs(process.create_time() - float(str(entry["created"]))) < 1
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return None
    if not same or process.status() == psutil.STATUS_ZOMBIE:
        return None
    return str(entry["name"]), process
