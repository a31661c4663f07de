"""The two load generators.

wrk sends as fast as it is answered and costs little itself: the maximum. oha sends at a constant
rate and takes a request's time from when it should have been sent: latencies that a slow answer
can't hide.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

from bench.ingest.tools import OHA
from bench.usage import RssWatch, usage_of

_SCRIPT = Path(__file__).parent / "wrk.lua"
_FIRST_ANSWER_S = 30
# A rate counts as reached from this share on; else the next one is tried.
_REACHED, _NEXT_RATE, _LEAST_RATE = 0.97, 0.75, 20.0


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
    """Milliseconds at a constant `rate` of requests a second."""

    p50: float
    p99: float
    p999: float
    rate: float


class _Wrk(msgspec.Struct):
    requests: int
    microseconds: int
    refused: int
    broken: int


def maximum(
    url: str, bodies: Path, pid: int, connections: int, seconds: int, strange: bool = False
) -> Maximum:
    """`strange`: no two requests have the same head.

    Raises `LoadFailed` when one request in a thousand was not answered with success."""
    watch = RssWatch(pid)
    before = usage_of(pid)
    watch.start()
    try:
        wrk = _wrk(url, bodies, connections, seconds, strange)
        cpu = usage_of(pid).cpu - before.cpu
    finally:
        most = watch.stop()
    if wrk.requests == 0:  # so many connections that none got its turn
        return Maximum(0, 0.0, 0.0, most)
    if wrk.refused + wrk.broken > wrk.requests / 1_000:
        raise LoadFailed(f"{url}: {wrk.refused} of {wrk.requests} refused, {wrk.broken} broken off")
    rate = wrk.requests / wrk.microseconds * 1e6
    return Maximum(wrk.requests, rate, cpu / wrk.requests, most)


def _wrk(url: str, bodies: Path, connections: int, seconds: int, strange: bool) -> _Wrk:
    settings = {"BODIES": str(bodies), "PATH": "/usr/bin:/bin"}
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    done = subprocess.run(
        ["wrk", *options, url], env={**settings, "STRANGE": "1"} if strange else settings,
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
    """At `rate` requests a second, or at the first of ever smaller rates that is reached: the
    generator shares its core with the broker, and may be the one that can't follow."""
    while True:
        report = _oha(url, bodies, rate, connections, seconds)
        if report["summary"]["requestsPerSec"] >= _REACHED * rate or rate < _LEAST_RATE:
            break
        rate *= _NEXT_RATE
    ms = {name: at * 1_000 for name, at in report["latencyPercentiles"].items()}
    return Latency(ms["p50"], ms["p99"], ms["p99.9"], rate)


def _oha(url: str, bodies: Path, rate: float, connections: int, seconds: int) -> Any:
    options = [
        "--no-tui", "--output-format", "json", "--latency-correction",
        "-q", str(max(1, round(rate))), "-c", str(connections), "-z", f"{seconds}s",
        "-m", "POST", "-T", "application/json", "-Z", str(bodies),
    ]  # fmt: skip
    done = subprocess.run([str(OHA), *options, url], capture_output=True, check=True)
    return msgspec.json.decode(done.stdout)
