"""The two load generators.

wrk sends as fast as it is answered and costs little itself: the maximum. oha sends at a constant
rate and takes a request's time from when it should have been sent: latencies that a slow answer
can't hide.
"""

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

from bench.tools import OHA
from bench.usage import usage_of

_SCRIPT = Path(__file__).parent / "wrk.lua"
_SAMPLE_S = 0.25
_FIRST_ANSWER_S = 30


class LoadFailed(RuntimeError):
    """Raised when a server refused or broke off what it has to take."""


@dataclass(frozen=True)
class Maximum:
    """Of one server under as much load as its connections can carry."""

    requests: int
    rate: float
    cpu_per_request: float
    rss: int


@dataclass(frozen=True)
class Latency:
    """Milliseconds at a constant rate; `answered` is the share of it that was reached."""

    p50: float
    p99: float
    p999: float
    answered: float


class _Wrk(msgspec.Struct):
    requests: int
    microseconds: int
    refused: int
    broken: int


class _RssWatch(threading.Thread):
    """The most memory that the process tree had."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._done = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self.most = max(self.most, usage_of(self._pid).rss)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.most


def maximum(url: str, bodies: Path, pid: int, connections: int, seconds: int) -> Maximum:
    """Raises `LoadFailed` when one request in a thousand was not answered with success."""
    watch = _RssWatch(pid)
    before = usage_of(pid)
    watch.start()
    try:
        wrk = _wrk(url, bodies, connections, seconds)
        cpu = usage_of(pid).cpu - before.cpu
    finally:
        most = watch.stop()
    if wrk.requests == 0:  # so many connections that none got its turn
        return Maximum(0, 0.0, 0.0, most)
    if wrk.refused + wrk.broken > wrk.requests / 1_000:
        raise LoadFailed(f"{url}: {wrk.refused} of {wrk.requests} refused, {wrk.broken} broken off")
    rate = wrk.requests / wrk.microseconds * 1e6
    return Maximum(wrk.requests, rate, cpu / wrk.requests, most)


def _wrk(url: str, bodies: Path, connections: int, seconds: int) -> _Wrk:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    done = subprocess.run(
        ["wrk", *options, url], env={"BODIES": str(bodies), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=_Wrk)


def try_one(url: str, bodies: Path) -> None:
    """Send the first body. Raises `LoadFailed` unless it is answered with 202."""
    with bodies.open("rb") as lines:
        request = Request(url, next(lines), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urlopen(request, timeout=_FIRST_ANSWER_S) as answer:  # noqa: S310  our own server
            status = answer.status
    except HTTPError as error:
        raise LoadFailed(f"{url}: {error.code} {error.read(500)!r}") from error
    if status != 202:
        raise LoadFailed(f"{url}: answered {status} instead of 202")


def latency(url: str, bodies: Path, rate: float, connections: int, seconds: int) -> Latency:
    """At `rate` requests a second."""
    options = [
        "--no-tui", "--output-format", "json", "--latency-correction",
        "-q", str(max(1, round(rate))), "-c", str(connections), "-z", f"{seconds}s",
        "-m", "POST", "-T", "application/json", "-Z", str(bodies),
    ]  # fmt: skip
    done = subprocess.run([str(OHA), *options, url], capture_output=True, check=True)
    report = msgspec.json.decode(done.stdout)
    percentiles = report["latencyPercentiles"]
    return Latency(
        p50=percentiles["p50"] * 1_000,
        p99=percentiles["p99"] * 1_000,
        p999=percentiles["p99.9"] * 1_000,
        answered=report["summary"]["requestsPerSec"] / rate,
    )
