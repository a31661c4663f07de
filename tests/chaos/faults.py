"""Does to a running system what a schedule says, and heals it again."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.chaos.cluster import Servers
from tests.chaos.product import Part, Product
from tests.chaos.proxy import Mode, Proxy
from tests.chaos.schedule import Fault
from tests.chaos.watcher import Watcher
from tracker_site.embedded.servers import Server, wait_until

logger = logging.getLogger("chaos")

_MODES = {"cut": Mode.CUT, "freeze": Mode.FREEZE, "deaf": Mode.DEAF, "slow": Mode.SLOW}
_BALLAST = "ballast"


class Faults:
    """`disk` is the mount that the archive's folder lies on, None where there is none."""

    def __init__(
        self, servers: Servers, product: Product, watcher: Watcher, disk: Path | None
    ) -> None:
        self._servers = servers
        self._product = product
        self._watcher = watcher
        self._disk = disk
        self._threads: list[threading.Thread] = []
        self._healing = threading.Event()
        self.done: list[str] = []
        self.skipped: list[str] = []
        self.broken: list[str] = []
        self._actions: dict[str, Callable[[Fault], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "kill point": self._kill_at_point,
            "redis rewind": self._rewind,
            "redis failover": self._fail_over,
            "redis emptied": self._empty,
            "storm": self._storm,
            "clock": self._put_clock_wrong,
            "s3 500": lambda fault: self._break(servers.s3_proxy, Mode.ERROR_500, fault),
            "s3 deaf": lambda fault: self._break(servers.s3_proxy, Mode.DEAF, fault),
            "disk full": self._fill_disk,
            **dict.fromkeys(_MODES, self._break_link),
        }

    def play(self, faults: tuple[Fault, ...]) -> None:
        """Start each at its time; returns when the last one is over."""
        begun = time.monotonic()
        for fault in faults:
            self._healing.wait(max(0.0, begun + fault.at - time.monotonic()))
            thread = threading.Thread(target=self._do, args=(fault,), name=str(fault))
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join(90)

    def heal(self) -> None:
        """Everything runs and is reachable; Kafka has all its replicas."""
        self._healing.set()
        for proxy in self._servers.proxies.values():
            proxy.heal()
        self._servers.redis.replication.heal()
        self._product.heal()
        if self._disk is not None:
            (self._disk / _BALLAST).unlink(missing_ok=True)
        wait_until(self._servers.kafka.is_whole, 60, "the Kafka cluster after the faults")

    def _do(self, fault: Fault) -> None:
        logger.debug("%s", fault)
        try:
            self._actions[fault.kind](fault)
            self.done.append(fault.kind)
        except Exception:
            logger.exception("The harness itself failed in %s", fault)
            self.broken.append(str(fault))

    # --- Processes --------------------------------------------------------------------

    def _kill(self, fault: Fault) -> None:
        if fault.target == "redis":
            with self._servers.redis.lock, self._watcher.rollback():
                self._restart(self._servers.redis.primary, fault.seconds)
        elif fault.target in self._product.parts:
            part = self._product.parts[fault.target]
            with part.lock:
                part.kill()
        elif fault.target == "database":
            assert self._servers.database is not None
            with self._servers.database_lock:
                self._restart(self._servers.database, fault.seconds)
        else:
            with self._broker_lock(fault.target):
                self._restart(self._broker(fault.target), fault.seconds)

    @staticmethod
    def _restart(server: Server, after: float) -> None:
        server.kill()
        time.sleep(after)
        server.start()

    def _stop(self, fault: Fault) -> None:
        if fault.target == "redis":
            with self._servers.redis.lock:
                self._pause(self._servers.redis.primary, fault.seconds)
        elif fault.target in self._product.parts:
            self._pause(self._product.parts[fault.target].server, fault.seconds)
        elif fault.target == "database":
            self._pause_database(fault.seconds)
        else:
            with self._broker_lock(fault.target):
                self._pause(self._broker(fault.target), fault.seconds)

    def _pause(self, server: Server, seconds: float) -> None:
        process = server.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        self._healing.wait(seconds)
        process.send_signal(signal.SIGCONT)

    def _pause_database(self, seconds: float) -> None:
        database = self._servers.database
        assert database is not None
        with self._servers.database_lock:
            database.send(signal.SIGSTOP)
            self._healing.wait(seconds)
            database.send(signal.SIGCONT)

    def _kill_at_point(self, fault: Fault) -> None:
        """Where the point is not reached in time, nothing happens, and that is said."""
        part = self._product.parts[fault.target]
        with part.arming:
            self._await_death(part, fault)

    def _await_death(self, part: Part, fault: Fault) -> None:
        point, calls = fault.detail.split()
        deaths = part.deaths
        part.arm(point, int(calls))
        deadline = time.monotonic() + fault.seconds
        while part.deaths == deaths and time.monotonic() < deadline:
            self._healing.wait(0.05)
        part.disarm()
        if part.deaths == deaths:
            self.skipped.append(f"{fault.target} did not come to {fault.detail}")

    def _put_clock_wrong(self, fault: Fault) -> None:
        clock = self._product.parts[fault.target].clock
        if clock is None:
            self.skipped.append("clock: it takes a C compiler (Debian: gcc and libc6-dev)")
            return
        clock.jump(float(fault.detail.split()[0]))
        self._healing.wait(fault.seconds)
        clock.jump(0)

    def _storm(self, fault: Fault) -> None:
        """The consumer comes and goes, now in order, now not."""
        part: Part = self._product.parts[fault.target]
        deadline = time.monotonic() + fault.seconds
        orderly = True
        with part.lock:
            part.held = True
            while time.monotonic() < deadline:
                if orderly:
                    part.send(signal.SIGCONT)
                    part.send(signal.SIGTERM)
                    part.wait(4)
                part.kill()
                orderly = not orderly
                part.server.spawn()
                self._healing.wait(1.2)
            part.held = False

    # --- Network and disk -------------------------------------------------------------

    def _break_link(self, fault: Fault) -> None:
        proxies = {**self._servers.proxies, **self._product.proxies}
        self._break(proxies[fault.target], _MODES[fault.kind], fault)

    def _break(self, proxy: Proxy, mode: Mode, fault: Fault) -> None:
        proxy.mode = mode
        self._healing.wait(fault.seconds)
        proxy.heal()

    def _fill_disk(self, fault: Fault) -> None:
        if self._disk is None:
            self.skipped.append("disk full: it takes root to mount a small disk")
            return
        ballast = self._disk / _BALLAST
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4_096)
        self._healing.wait(fault.seconds)
        ballast.unlink(missing_ok=True)

    # --- Redis ------------------------------------------------------------------------

    def _rewind(self, fault: Fault) -> None:
        with self._servers.redis.lock, self._watcher.rollback():
            lost = self._servers.redis.rewind(float(fault.detail))
        logger.debug("Redis lost its last %d bytes", lost)

    def _empty(self, fault: Fault) -> None:
        with (
            self._servers.redis.lock,
            self._watcher.rollback(),
            self._servers.redis.primary.client() as client,
        ):
            client.flushall()

    def _fail_over(self, fault: Fault) -> None:
        with self._servers.redis.lock:
            with self._watcher.rollback():
                self._servers.redis.fail_over(fault.seconds)
            self._servers.redis.follow()

    def _broker(self, name: str) -> Server:
        return next(b for b in self._servers.kafka.brokers if b.name == name)

    def _broker_lock(self, name: str) -> threading.Lock:
        return self._servers.kafka.locks[name]
