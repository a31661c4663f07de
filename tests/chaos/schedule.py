"""Which faults hit what and when: drawn from a seed, the same for the same seed. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import kill_points

PARTS = {
    "web-1": "web", "web-2": "gateway", "consumer-1": "consumer", "consumer-2": "consumer",
    "worker-1": "worker", "worker-2": "worker", "beat": "beat",
}  # fmt: skip
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
LINKS = (
    "web-1", "web-2", "redis-count", "redis-web", "redis-tasks", *BROKERS,
    *(f"{broker}-internal" for broker in BROKERS),
)  # fmt: skip
# By how many seconds a clock may be wrong, forwards and backwards. Two that differ the most
# are still nearer to each other than the window in which an id is remembered.
_WRONG_S = (5.0, 240.0)
# Longer than the consumers' session and the brokers' with the controller, so that who wakes
# up is a zombie.
_ASLEEP_S = (3.5, 5.0)
S3, FOLDER = "s3", "folder"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
DATABASES = (SQLITE, POSTGRESQL)


@dataclass(frozen=True)
class Fault:
    """`kind` happens to `target` at `at` seconds and lasts for `seconds`."""

    at: float
    kind: str
    target: str
    seconds: float
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.at:4.1f} s  {self.kind} {self.target}{detail} for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Schedule:
    """What a seed means."""

    seed: int
    archive: str
    faults: tuple[Fault, ...]
    # What Redis does at the end, when nothing more is sent; empty: nothing.
    silent: str
    # At the end all sites are counted anew, by a process that is killed first at this point and
    # its n-th call; empty: they are not.
    rebuild: str
    # Whether the topic is deleted and made again before the first event is sent.
    remade: bool = False
    # When Redis is turned back beside the rebuild that is run again, in seconds; 0: it is not.
    rebuild_rewound_s: float = 0.0


def draw(seed: int, seconds: float, database: str = SQLITE) -> Schedule:
    """Three to five moments within `seconds`, each with one fault or a pair of them; of those
    a quarter hits `database`, if it is a server."""
    dice = random.Random(f"schedule/{seed}")
    archive = dice.choice((S3, FOLDER))
    moments = sorted(dice.uniform(0.5, seconds) for _ in range(dice.randint(3, 5)))
    faults = [
        _draw_fault(dice, at, archive, database)
        for at in moments
        for _ in range(2 if dice.random() < 0.4 else 1)
    ]
    silent = dice.choice(("", "redis rewind", "redis failover", "redis emptied"))
    rebuild = _draw_rebuild(dice)
    remade = dice.random() < 0.1
    rewound_s = _draw_rewound(dice) if rebuild else 0.0
    return Schedule(seed, archive, tuple(faults), silent, rebuild, remade, rewound_s)


def _draw_rebuild(dice: random.Random) -> str:
    point, calls = _draw_point(dice, "rebuild")
    return f"{point} {calls}" if dice.random() < 0.3 else ""


def _draw_rewound(dice: random.Random) -> float:
    """While it counts, while it swaps, and when it is just over."""
    return round(dice.uniform(1.0, 4.5), 2) if dice.random() < 0.7 else 0.0


def _draw_point(dice: random.Random, role: str) -> tuple[str, int]:
    """Where a process is killed, and at which call."""
    point, calls = dice.choice(kill_points.points(role)), dice.randint(1, 4)
    return point, 1 if point.startswith(kill_points.SELDOM) else calls


def _draw_fault(dice: random.Random, at: float, archive: str, database: str) -> Fault:
    if database == POSTGRESQL and dice.random() < 0.25:
        kind = dice.choice(("kill", "kill", "stop", "cut", "freeze", "deaf", "slow"))
        return Fault(round(at, 2), kind, "database", round(dice.uniform(0.3, 3), 2))
    kinds = [*_KINDS, *(("s3 500", "s3 deaf") if archive == S3 else ("disk full",))]
    kind = dice.choice(kinds)
    target, seconds, detail = _DRAWS[kind](dice)
    return Fault(round(at, 2), kind, target, round(seconds, 2), detail)


_Drawn = tuple[str, float, str]


def _kill(dice: random.Random) -> _Drawn:
    return dice.choice([*PARTS, *BROKERS, "redis"]), dice.uniform(0.2, 2), ""


def _stop(dice: random.Random) -> _Drawn:
    target = dice.choice([*PARTS, *BROKERS, "redis"])
    long = target.startswith(("consumer", "kafka"))
    return target, dice.uniform(*(_ASLEEP_S if long else (0.5, 3))), ""


def _kill_point(dice: random.Random) -> _Drawn:
    target = dice.choice([name for name, role in PARTS.items() if role in kill_points.STEPS])
    point, calls = _draw_point(dice, PARTS[target])
    return target, 8.0 if point.startswith(kill_points.SELDOM) else 5.0, f"{point} {calls}"


def _link(dice: random.Random) -> _Drawn:
    return dice.choice(LINKS), dice.uniform(0.3, 3), ""


def _redis(dice: random.Random) -> _Drawn:
    return "redis", dice.uniform(0.3, 1.2), f"{dice.uniform(0.2, 1):.2f}"


def _storm(dice: random.Random) -> _Drawn:
    return dice.choice(("consumer-1", "consumer-2")), dice.uniform(3, 5), ""


def _clock(dice: random.Random) -> _Drawn:
    ahead = dice.choice((-1, 1)) * dice.uniform(*_WRONG_S)
    return dice.choice(list(PARTS)), dice.uniform(1.5, 4), f"{ahead:+.1f} s"


def _nothing(dice: random.Random) -> _Drawn:
    return "redis", 0.0, ""


def _archive(dice: random.Random) -> _Drawn:
    return "archive", dice.uniform(1.5, 4), ""


_DRAWS: dict[str, Callable[[random.Random], _Drawn]] = {
    "kill": _kill,
    "stop": _stop,
    "kill point": _kill_point,
    "cut": _link,
    "freeze": _link,
    "deaf": _link,
    "slow": _link,
    "redis rewind": _redis,
    "redis failover": _redis,
    "redis emptied": _nothing,
    "storm": _storm,
    "clock": _clock,
    "s3 500": _archive,
    "s3 deaf": _archive,
    "disk full": _archive,
}
_KINDS = (
    "kill", "kill", "stop", "stop", "kill point", "kill point", "cut", "freeze", "deaf", "slow",
    "redis rewind", "redis failover", "redis emptied", "storm", "clock", "clock",
)  # fmt: skip
