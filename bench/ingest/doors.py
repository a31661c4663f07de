"""The servers that are measured: one process (with what it starts), on one core."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from bench.ingest.tools import GIN

TRACK, BATCH = "/api/v1/track", "/api/v1/track/batch"


@dataclass(frozen=True)
class Door:
    """`command` with the port in place of `{port}`; empty: not there yet, and left out.
    `settings` come on top of the product's own. `batch`: whether it has a batch endpoint."""

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    track: str = TRACK
    batch: str | None = BATCH
    # Whether each request has a head of its own where the maximum is taken.
    strange: bool = False
    # Whether what it answers with 202 is to be found in the log.
    logs: bool = True
    # Settings to try before the rounds; the quickest of them is measured.
    variants: tuple[Mapping[str, str], ...] = field(default=(), hash=False)

    def __str__(self) -> str:
        return self.name

    def with_settings(self, settings: Mapping[str, str]) -> "Door":
        return replace(self, settings={**self.settings, **settings}, variants=())


def _granian(application: str) -> tuple[str, ...]:
    options = ("--interface", "rsgi", "--no-ws", "--backlog", "4096", "--no-access-log")
    return (sys.executable, "-m", "granian", "--port", "{port}", *options, application)


_GIN = (str(GIN),)
_GIN_SETTINGS = {"LISTEN": "127.0.0.1:{port}", "GOMAXPROCS": "1"}
_GIN_VARIANTS = tuple(
    {"LINGER": linger, "GOGC": gogc}
    for linger, gogc in product(("0s", "1ms", "5ms"), ("100", "400"))
)

GIN_ACKNOWLEDGED = Door("Gin + franz-go", _GIN, _GIN_SETTINGS, variants=_GIN_VARIANTS)
GIN_FORGETS = Door(
    "Gin + franz-go, fire and forget",
    _GIN,
    {**_GIN_SETTINGS, "ACKNOWLEDGE": "false"},
    variants=_GIN_VARIANTS,
)
DRF = Door("ours: DRF on Daphne", (sys.executable, "manage.py", "serve", "--port", "{port}"))
# As it is when nobody sets anything: a linger of 2 ms.
FAST = Door("ours: gateway", (sys.executable, "manage.py", "gateway", "--port", "{port}"))
AT_ONCE = replace(FAST, name="ours: gateway, no linger", settings={"KAFKA_LINGER_MS": "0"})
STRANGE = replace(FAST, name="ours: gateway, every head another", strange=True)
UNENRICHED = Door(
    "ours: gateway, without enrichment",
    (sys.executable, "-m", "bench.ingest.unenriched", "{port}"),
)
BARE = Door("Granian, produce and answer on the ack", _granian("bench.ingest.bare:application"),
            batch=None)  # fmt: skip
OUR_ECHO = Door("our server, echo", (sys.executable, "-m", "bench.ingest.our_echo", "{port}"),
                batch=None, logs=False)  # fmt: skip
ECHO = Door("Granian, echo", _granian("bench.ingest.echo:application"), batch=None, logs=False)

DOORS = [
    GIN_ACKNOWLEDGED,
    GIN_FORGETS,
    FAST,
    AT_ONCE,
    STRANGE,
    UNENRICHED,
    OUR_ECHO,
    DRF,
    BARE,
    ECHO,
]
