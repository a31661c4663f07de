"""Which faults hit what and when: drawn from a seed, the same for the same seed. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import kill_points

PARTS = {
    "web-1": "web", "web-2": "web", "consumer-1": "consumer", "consumer-2": "consumer",
    "worker-1": "worker", "worker-2": "worker", "beat": "beat",
}  # fmt: skip
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
LINKS = (
    "web-1", "web-2", "redis-count", "redis-web", "redis-tasks", *BROKERS,
    *(f"{broker}-internal" for broker in BROKERS),
)  # fmt: skip
# Longer than the consumers' session and the brokers' with the controller, so that who wakes
# up is a zombie.
_ASLEEP_S = (3.5, 5.0)
S3, FOLDER = "s3", "folder"


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
    # Whether the topic is deleted and made again before the first event is sent.
    remade: bool = False


def draw(seed: int, seconds: float) -> Schedule:
    """Three to five moments within `seconds`, each with one fault or a pair of them."""
    dice = random.Random(f"schedule/{seed}")
    archive = dice.choice((S3, FOLDER))
    moments = sorted(dice.uniform(0.5, seconds) for _ in range(dice.randint(3, 5)))
    faults = [
        _draw_fault(dice, at, archive)
        for at in moments
        for _ in range(2 if dice.random() < 0.4 else 1)
    ]
    silent = dice.choice(("", "redis rewind", "redis failover"))
    return Schedule(seed, archive, tuple(faults), silent, remade=dice.random() < 0.1)


def _draw_fault(dice: random.Random, at: float, archive: str) -> Fault:
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
    point = dice.choice(kill_points.points(PARTS[target]))
    return target, 4.0, f"{point} {dice.randint(1, 4)}"


def _link(dice: random.Random) -> _Drawn:
    return dice.choice(LINKS), dice.uniform(0.3, 3), ""


def _redis(dice: random.Random) -> _Drawn:
    return "redis", dice.uniform(0.3, 1.2), f"{dice.uniform(0.2, 1):.2f}"


def _storm(dice: random.Random) -> _Drawn:
    return dice.choice(("consumer-1", "consumer-2")), dice.uniform(3, 5), ""


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
    "storm": _storm,
    "s3 500": _archive,
    "s3 deaf": _archive,
    "disk full": _archive,
}
_KINDS = (
    "kill", "kill", "stop", "stop", "kill point", "kill point", "cut", "freeze", "deaf", "slow",
    "redis rewind", "redis failover", "storm",
)  # fmt: skip
