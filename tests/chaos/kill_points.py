"""Death between two steps: runs in the product's processes, put there by `hook/sitecustomize.py`.

Functions of the product are wrapped as their modules are imported. While the file
`CHAOS_ARMED` names a point and a number n, the process kills itself at the n-th time it
comes to that point. Nothing of this is in the product.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

from tests.chaos.patching import when_imported

BEFORE, AFTER = "before", "after"
# Role → (module, function) between whose writes a process may die. "rebuild" is a command.
STEPS: dict[str, list[tuple[str, str]]] = {
    "web": [
        ("ingest.producer", "PageViewProducer._hand_over"),
        ("ingest.delivery", "Delivery.arrived"),
        ("ingest.producer", "PageViewProducer.produce"),
    ],
    "gateway": [
        ("ingest.gateway.producer", "LoopProducer._send_waiting"),
        ("ingest.delivery", "Delivery.arrived"),
        ("ingest.gateway.producer", "LoopProducer.produce"),
    ],
    "consumer": [
        ("processing.dead_letters", "DeadLetters.keep"),
        ("processing.counters", "Counters.look_up"),
        ("processing.counters", "Counters.apply"),
        ("processing.counters", "Counters.markers"),
        ("processing.counters", "Counters.report"),
        ("processing.consumer", "PageViewConsumer._commit"),
    ],
    "worker": [
        ("processing.archive", "plan"),
        ("processing.archive", "Archive.claim_due"),
        ("processing.archive", "write_parquet"),
        ("processing.archive", "Archive._finish"),
        ("processing.object_store", "ObjectStore.put"),
    ],
    "rebuild": [
        ("processing.counters", "Counters.apply"),
        ("processing.rebuild", "Rebuild.swap"),
        ("processing.rebuild", "Rebuild._run"),
    ],
}
# Functions that a process comes to only every few seconds, or once.
SELDOM = ("processing.consumer:PageViewConsumer._commit", "processing.archive:plan",
          "processing.archive:Archive.claim_due", "processing.rebuild:")  # fmt: skip


def points(role: str) -> list[str]:
    """Every point at which a process of that role may be killed."""
    return [
        f"{module}:{function}:{when}"
        for module, function in STEPS[role]
        for when in (BEFORE, AFTER)
    ]


def install(role: str, armed: Path) -> None:
    """Wrap the role's steps, each when its module is imported."""
    trigger = _Trigger(armed)
    for module, function in STEPS.get(role, []):
        when_imported(module, partial(_wrap, name=function, trigger=trigger))


class _Trigger:
    def __init__(self, armed: Path) -> None:
        self._armed = armed
        self._passed: Counter[str] = Counter()

    def pass_by(self, point: str) -> None:
        try:
            wanted, calls = self._armed.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        if wanted != point:
            return
        self._passed[point] += 1
        if self._passed[point] >= int(calls):
            os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module: Any, name: str, trigger: _Trigger) -> None:
    *owners, function_name = name.split(".")
    owner = getattr(module, owners[0]) if owners else module
    setattr(owner, function_name, _mortal(getattr(owner, function_name), trigger,
                                          f"{module.__name__}:{name}"))  # fmt: skip


def _mortal(function: Callable[..., Any], trigger: _Trigger, point: str) -> Callable[..., Any]:
    @wraps(function)
    def step(*arguments: Any, **named: Any) -> Any:
        trigger.pass_by(f"{point}:{BEFORE}")
        answer = function(*arguments, **named)
        trigger.pass_by(f"{point}:{AFTER}")
        return answer

    return step
