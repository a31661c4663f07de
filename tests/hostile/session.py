"""Sends hostile requests, a chunk of one kind after the other, and looks whether all is well."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from tests.hostile import hostile_requests as hostile
from tests.hostile.accepted import ANY, Accepted, accepted
from tests.hostile.documented import Operation, operations
from tests.hostile.hostile_requests import Request
from tests.hostile.hostile_values import Header
from tests.hostile.kafka_log import KafkaLog
from tests.hostile.product import SITE, Product
from tests.hostile.wire import Answer, Wire

MOST_CHUNK = 250
# Each on a connection of its own, so that the servers never wait for us.
AT_ONCE = 8
# So many visitors are in every partition.
MARKS = 8
_MARK = Request(
    "POST",
    b"/api/v1/track/batch",
    (hostile.JSON,),
    json.dumps(
        {"events": [{"page_url": "/", "site": SITE, "user_id": f"mark-{n}"} for n in range(MARKS)]}
    ).encode(),
)


@dataclass(frozen=True)
class Kind:
    """Requests of one kind to one door, and what part of all they are."""

    name: str
    door: str
    requests: st.SearchStrategy[Any]
    weight: int
    operation: Operation | None = None


@dataclass
class Figures:
    """Of one kind."""

    cases: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    accepted: int = 0


@dataclass(repr=False)
class Session:
    """`findings` are what was wrong."""

    product: Product
    log: KafkaLog
    kinds: list[Kind]
    figures: dict[str, Figures] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wires = {
            name: [Wire(door.port) for _ in range(AT_ONCE)]
            for name, door in self.product.doors.items()
        }
        self.figures = {kind.name: Figures() for kind in self.kinds}

    @property
    def cases(self) -> int:
        return sum(figures.cases for figures in self.figures.values())

    def run(self, cases: int, start: int, told: Callable[[], None] = lambda: None) -> None:
        """So many cases of all kinds, each kind with its share; `told` after each chunk."""
        random = Random(start)
        chunks = [(kind, size) for kind, share in self._shares(cases) for size in _chunks(share)]
        random.shuffle(chunks)
        for kind, size in chunks:
            self._run_chunk(kind, size, random)
            told()

    def finish(self) -> None:
        """Everything that was accepted is counted, and nothing else."""
        totals = self.product.wait_counted(self.log.messages)
        told = {name: totals[name] for name in ("read", "invalid", "forgotten", "holes")}
        right = {"read": self.log.messages, "invalid": 0, "forgotten": 0, "holes": 0}
        if told != right:
            self.findings.append(f"the ledger says {told}, the log {right}")
        if self.log.dead_letters():
            self.findings.append(f"{self.log.dead_letters()} dead letters")
        recounted = self.product.manage("reconcile")
        if recounted.returncode:
            self.findings.append(f"reconcile: {recounted.stdout}{recounted.stderr}")
        self.findings += self.product.wrong_in_logs()

    def close(self) -> None:
        for wire in [wire for wires in self._wires.values() for wire in wires]:
            wire.close()
        self.log.close()

    def _shares(self, cases: int) -> Iterator[tuple[Kind, int]]:
        """Rounded so that together they are `cases`."""
        total, at, begun = sum(kind.weight for kind in self.kinds), 0, 0
        for kind in self.kinds:
            at += kind.weight
            end = cases * at // total
            yield kind, end - begun
            begun = end

    def _run_chunk(self, kind: Kind, size: int, random: Random) -> None:
        """Hypothesis now and then finds nothing new before it has drawn as many as it may."""
        figures = self.figures[kind.name]
        wanted, sums, before = figures.cases + size, _Sums(), self.log.messages
        while figures.cases < wanted:
            begun = figures.cases
            try:
                self._hypothesise(kind, wanted, random.getrandbits(64), sums)
            except (AssertionError, HypothesisException) as error:
                notes = "\n".join(getattr(error, "__notes__", []))
                self.findings.append(f"{kind.name}: {error}\n{notes}")
            if figures.cases == begun:
                raise RuntimeError(f"{kind.name} draws nothing")
        self.findings += [f"{kind.name}: {wrong}" for wrong in self.log.read(self._mark())]
        messages = self.log.messages - before - MARKS
        self._check_sums(kind, sums, messages)
        figures.accepted += messages

    def _mark(self) -> list[str]:
        """Receipts of events in every partition, behind all that was answered before."""
        wire = self._wires["serve"][0]
        wire.send(_MARK.raw)
        answer = wire.receive(_MARK.method)
        assert answer is not None and answer.status == 202, answer
        return [result["receipt"] for result in json.loads(answer.body)["results"]]

    def _hypothesise(self, kind: Kind, most: int, number: int, sums: "_Sums") -> None:
        """Until there are `most` cases of this kind, or nearly."""
        figures = self.figures[kind.name]
        left = most - figures.cases
        failed = False

        @seed(number)
        @settings(
            max_examples=1 + 2 * left // AT_ONCE, deadline=None, database=None, print_blob=False,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(requests=st.lists(kind.requests, min_size=1, max_size=AT_ONCE))
        def ask(requests: list[Any]) -> None:
            nonlocal failed
            # What failed is asked again to be made smaller, however many there were.
            asked = requests if failed else requests[: most - figures.cases]
            figures.cases += len(asked)
            failed = True
            self._ask(kind, asked, sums)
            failed = False

        ask()

    def _ask(self, kind: Kind, requests: list[Any], sums: "_Sums") -> None:
        wires = self._wires[kind.door]
        if requests and isinstance(requests[0], bytes):
            told = [wire.ask_broken(raw) for wire, raw in zip(wires, requests, strict=False)]
            sums.add(Accepted(0, ANY))
        else:
            told = _ask_whole(wires, requests, sums)
        for request, answers in zip(requests, told, strict=True):
            self._look_at(kind, request, answers)
        wrong = self.product.wrong_in_logs()
        shown = [_shown(request) for request in requests]
        assert not wrong, "\n".join([f"in the log, at {shown}:", *wrong])

    def _look_at(self, kind: Kind, request: Request | bytes, answers: list[Answer]) -> None:
        status = str(answers[0].status) if answers else "closed"
        self.figures[kind.name].statuses[status] += 1
        for answer in answers:
            complaint = _complaint(kind, answer)
            assert complaint is None, f"{complaint}\n  to {_shown(request)!r}\n  {answer}"

    def _check_sums(self, kind: Kind, sums: "_Sums", messages: int) -> None:
        if not sums.least <= messages <= sums.most:
            self.findings.append(
                f"{kind.name}: {messages} messages in the log, answers told of {sums.least} to "
                f"{sums.most}"
            )
        for receipt, event_id in sums.receipts:
            if not self.log.is_receipt(receipt, event_id):
                self.findings.append(f"{kind.name}: {event_id} is not at {receipt}")


@dataclass
class _Sums:
    """What the answers of a chunk say is in Kafka."""

    least: int = 0
    most: int = 0
    receipts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, told: Accepted) -> None:
        self.least += told.least
        self.most += told.most
        self.receipts += told.receipts


def _ask_whole(wires: list[Wire], requests: list[Request], sums: _Sums) -> list[list[Answer]]:
    told: list[list[Answer]] = []
    for wire, request in zip(wires, requests, strict=False):
        wire.send(request.raw)
    for wire, request in zip(wires, requests, strict=False):
        answer = wire.receive(request.method)
        assert answer is not None, f"no answer to {request.raw!r}"
        sums.add(accepted(request, answer))
        told.append([answer])
    return told


def _shown(request: Request | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.raw


def _complaint(kind: Kind, answer: Answer) -> str | None:
    if answer.status >= 500 and (answer.status != 503 or not answer.header("retry-after")):
        return f"status {answer.status}"
    return kind.operation.complaint(answer) if kind.operation else None


def _chunks(cases: int) -> list[int]:
    whole, rest = divmod(cases, MOST_CHUNK)
    return [MOST_CHUNK] * whole + ([rest] if rest else [])


def kinds_of(product: Product) -> list[Kind]:
    """Every operation of the document that the product serves, and what no document describes."""
    served = product.doors["serve"].get("/api/schema", as_json=False)
    of_document = operations(json.loads(json.dumps(yaml.safe_load(served.body), default=str)))
    track, batch, imported, pixel = (
        of_document[label]
        for label in (
            "POST /api/v1/track", "POST /api/v1/track/batch", "POST /api/v1/import",
            "GET /api/v1/track.gif",
        )
    )  # fmt: skip
    nobody: st.SearchStrategy[tuple[Header, ...]] = st.just(())
    readers = st.sampled_from([*([_bearer(product.keys["all"])] * 4), _bearer(product.keys["one"]),
                               _bearer("pvt_00000000_x"), ()])  # fmt: skip
    kinds = [
        Kind(
            f"{label}, serve",
            "serve",
            one.requests(readers if one.needs_key else nobody),
            1 if one is batch else 3,
            one,
        )
        for label, one in of_document.items()
    ]
    kinds += [
        # A batch takes as long to make as ten others.
        Kind(
            f"{one.label}, gateway", "gateway", one.requests(nobody), 1 if one is batch else 3, one
        )
        for one in (track, batch)
    ]
    kinds.append(Kind("pixel", "serve", hostile.pixel_requests(), 4, pixel))
    kinds.append(Kind("import", "serve", hostile.import_requests(), 4, imported))
    kinds.append(Kind("pages", "serve", hostile.page_requests(product.keys), 14))
    for door in product.doors:
        kinds += [
            Kind(f"event, {door}", door, hostile.track_requests(), 8, track),
            Kind(f"batch, {door}", door, hostile.batch_requests(), 6, batch),
            Kind(f"other trackers, {door}", door, hostile.door_requests(), 16),
        ]
        whole = st.one_of(
            hostile.track_requests(), hostile.door_requests(), hostile.page_requests(product.keys)
        )
        kinds.append(Kind(f"broken HTTP, {door}", door, hostile.broken_requests(whole), 6))
    return kinds


def _bearer(key: str) -> tuple[Header, ...]:
    return ((b"authorization", f"Bearer {key}".encode()),)


@contextmanager
def session_of(product: Product) -> Iterator[Session]:
    log = KafkaLog(product.servers.bootstrap_servers, product.topic)
    session = Session(product, log, kinds_of(product))
    try:
        yield session
    finally:
        session.close()
