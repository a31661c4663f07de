"""The servers under the product: three Kafka brokers, Redis with a replica, S3; all of them
reached through proxies by the product, and directly by the harness."""

import subprocess
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.chaos.database import PostgreSQL
from tests.chaos.proxy import Mode, Network, Proxy
from tests.s3 import S3Server
from tracker_site.embedded.servers import (
    ApacheKafka,
    RedisServer,
    Server,
    free_port,
    install_apache_kafka,
    wait_until,
)

_CLUSTER_ID = urlsafe_b64encode(b"chaos-cluster-01").decode().rstrip("=")
_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal},HARNESS://127.0.0.1:{port},\
CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{client_proxy},INTERNAL://127.0.0.1:{internal_proxy},\
HARNESS://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,HARNESS:PLAINTEXT,\
CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
log.dirs={data}
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.cleaner.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
replica.lag.time.max.ms=3000
replica.fetch.wait.max.ms=200
request.timeout.ms=3000
replica.socket.timeout.ms=3000
num.network.threads=2
num.io.threads=4
"""


class Broker(ApacheKafka):
    """One of three; its `port` is the harness' own way in, past every proxy."""

    def __init__(self, directory: Path, cache: Path, node: int, network: Network) -> None:
        super().__init__(directory, cache)
        self.name = f"kafka-{node}"
        self.node = node
        self.voters = ""
        self._client, self._internal = free_port(), free_port()
        self.client_proxy = Proxy(network, self.name, self._client)
        self.internal_proxy = Proxy(network, f"{self.name}-internal", self._internal)

    def _format(self) -> None:
        """The same cluster for all three."""
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c"]
        properties = str(self.directory / "server.properties")
        subprocess.run([*self._java(), *tool, properties], check=True, capture_output=True)

    def _java(self) -> list[str]:
        java = super()._java()
        return [java[0], "-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                *java[3:]]  # fmt: skip

    def _properties(self) -> str:
        return _PROPERTIES.format(
            node=self.node,
            voters=self.voters,
            client=self._client,
            internal=self._internal,
            port=self.port,
            controller=self.controller_port,
            client_proxy=self.client_proxy.port,
            internal_proxy=self.internal_proxy.port,
            data=self.directory / "data",
        )


class Kafka:
    """Three brokers, each a controller too: replication 3, two of them must have a message."""

    def __init__(self, directory: Path, cache: Path, network: Network) -> None:
        install_apache_kafka(cache)
        self.brokers = [
            Broker(directory / f"kafka-{node}", cache, node, network) for node in (1, 2, 3)
        ]
        # One fault at a time may stop and start a broker.
        self.locks = {broker.name: threading.Lock() for broker in self.brokers}
        voters = ",".join(f"{b.node}@127.0.0.1:{b.controller_port}" for b in self.brokers)
        for broker in self.brokers:
            broker.voters = voters

    @property
    def for_product(self) -> str:
        return ",".join(f"127.0.0.1:{b.client_proxy.port}" for b in self.brokers)

    @property
    def for_harness(self) -> str:
        return ",".join(f"127.0.0.1:{b.port}" for b in self.brokers)

    @property
    def proxies(self) -> list[Proxy]:
        return [p for b in self.brokers for p in (b.client_proxy, b.internal_proxy)]

    def start(self) -> None:
        for broker in self.brokers:
            broker.spawn()
        for broker in self.brokers:
            broker.wait_ready()
        wait_until(self.is_whole, 60, "the Kafka cluster")

    def is_whole(self) -> bool:
        """Whether every broker is in, and every replica of every partition in sync."""
        admin = AdminClient({"bootstrap.servers": self.for_harness, "log_level": 0})
        try:
            metadata = admin.list_topics(timeout=3)
        except KafkaException:
            return False
        return len(metadata.brokers) == 3 and all(
            len(partition.isrs) == len(partition.replicas)
            for topic in metadata.topics.values()
            for partition in topic.partitions.values()
        )


class RedisNode(RedisServer):
    """A Redis that writes its append-only file once a second."""

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(directory, save=True)
        self.name = name

    def command(self) -> list[str]:
        options = {
            "appendfsync": "everysec",
            "auto-aof-rewrite-percentage": "0",
            "aof-load-truncated": "yes",
            "repl-diskless-sync-delay": "0",
            "repl-timeout": "5",
            "repl-ping-replica-period": "1",
            "enable-debug-command": "no",
        }
        return [*super().command(), *(word for k, v in options.items() for word in (f"--{k}", v))]

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, socket_timeout=5)

    def newest_aof(self) -> Path:
        return max(
            (self.directory / "appendonlydir").glob("*.incr.aof"),
            key=lambda path: int(path.name.split(".")[-3]),
        )


class RedisPair:
    """A primary and its replica. Each of `proxies` leads to whichever is primary."""

    def __init__(self, directory: Path, network: Network, users: Sequence[str]) -> None:
        self.nodes = [RedisNode(directory / f"redis-{n}", f"redis-{n}") for n in "ab"]
        self.primary, self.replica = self.nodes
        # One fault at a time may change who is primary.
        self.lock = threading.Lock()
        self.proxies = {user: Proxy(network, user, self.primary.port) for user in users}
        self.replication = Proxy(network, "replication", self.primary.port)
        # (when, file, its size), so that what a power cut takes can be told.
        self._sizes: list[tuple[float, Path, int]] = []

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self.follow()

    def url(self, user: str) -> str:
        return f"redis://127.0.0.1:{self.proxies[user].port}/0"

    def follow(self) -> None:
        """Let the replica copy the primary, and wait until it does."""
        with self.replica.client() as client:
            client.replicaof("127.0.0.1", str(self.replication.port))
        wait_until(self._is_in_step, 20, "the replica of Redis")

    def _is_in_step(self) -> bool:
        try:
            with self.replica.client() as client:
                replication: Any = client.info("replication")
                return bool(replication.get("master_link_status") == "up")
        except redis.RedisError:
            return False

    def note_size(self) -> None:
        """Called every now and then while it runs."""
        try:
            path = self.primary.newest_aof()
            self._sizes.append((time.monotonic(), path, path.stat().st_size))
        except (ValueError, OSError):
            return
        del self._sizes[:-100]

    def rewind(self, share: float) -> int:
        """A power cut: the process dies, and of the last second's writes the last `share` is
        gone. Returns how many bytes that were."""
        self.primary.kill()
        path = self.primary.newest_aof()
        size = path.stat().st_size
        lost = int((size - self._size_a_second_ago(path, size)) * share)
        with path.open("r+b") as file:
            file.truncate(size - lost)
        # Redis 7.0 removes what is left of the last command but not of its transaction, and
        # would carry it out together with the next one at its second start.
        subprocess.run(
            ["redis-check-aof", "--fix", str(path)], input=b"y\n", capture_output=True, check=True
        )
        self.primary.start()
        return lost

    def _size_a_second_ago(self, path: Path, size: int) -> int:
        """A second before the last write, that is."""
        written = [at for at, p, s in self._sizes if p == path and s < size]
        before = max(written, default=0.0) - 0.8
        return max((s for at, p, s in self._sizes if p == path and at <= before), default=size)

    def fail_over(self, lag_seconds: float) -> None:
        """The replica stops copying, misses what is written meanwhile, and takes over."""
        self.replication.mode = Mode.FREEZE
        time.sleep(lag_seconds)
        self.replication.mode = Mode.CUT
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        for proxy in self.proxies.values():
            proxy.retarget(self.primary.port)
        self.replication.retarget(self.primary.port)
        self.replication.heal()
        self._sizes.clear()

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


class Servers:
    """All of them, with their proxies by name. `database` is None where it is a file."""

    def __init__(
        self, directory: Path, cache: Path, network: Network, database: PostgreSQL | None
    ) -> None:
        self.kafka = Kafka(directory, cache, network)
        self.redis = RedisPair(directory, network, ("redis-count", "redis-web", "redis-tasks"))
        self.s3 = S3Server(directory / "s3")
        self.s3_proxy = Proxy(network, "s3", self.s3.port)
        self.database = database
        # One fault at a time may stop and start it.
        self.database_lock = threading.Lock()
        self.database_proxy = Proxy(network, "database", database.port) if database else None

    @property
    def proxies(self) -> dict[str, Proxy]:
        proxies = [*self.kafka.proxies, *self.redis.proxies.values(), self.s3_proxy]
        return {proxy.name: proxy for proxy in (*proxies, self.database_proxy) if proxy}

    @property
    def all(self) -> list[Server]:
        servers = (*self.kafka.brokers, *self.redis.nodes, self.s3, self.database)
        return [server for server in servers if server is not None]

    @property
    def database_url(self) -> dict[str, str]:
        """Where the product finds the database, if it is a server."""
        if self.database is None or self.database_proxy is None:
            return {}
        return {"DATABASE_URL": self.database.url(self.database_proxy.port)}

    def start(self) -> None:
        self.s3.spawn()
        if self.database is not None:
            self.database.spawn()
        self.redis.start()
        self.kafka.start()
        self.s3.wait_ready()
        if self.database is not None:
            self.database.wait_ready()

    def stop(self) -> None:
        for server in self.all:
            server.kill()
