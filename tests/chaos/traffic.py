"""Clients that send events, retry as they should, and keep a journal of what they were told."""

import json
import random
import threading
import time
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from confluent_kafka import Producer

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
# Site → (time zone, days that are kept or None).
SITES: dict[str, tuple[str, int | None]] = {
    "utc.example": ("UTC", 30),
    "berlin.example": ("Europe/Berlin", None),
    "new-york.example": ("America/New_York", None),
    "kathmandu.example": ("Asia/Kathmandu", None),
    "lord-howe.example": ("Australia/Lord_Howe", None),
}
CLOSED_SITE = "closed.example"
PAGES = [f"/page/{n}" for n in range(12)]
BOT_REASONS = ("internal", "headless", "crawler", "datacenter", "referrer_spam")
_TIMEOUT_S = 6.0
_RETRY_AFTER_S = 0.3
_TRIES = 8


@dataclass
class Sent:
    """One event: what is in it, and what its sender knows of it. `token` travels in the
    event's title, so that what is in the log can be told even without an id."""

    token: str
    site: str
    path: str
    ts: int
    name: str
    user: str
    event_id: str | None
    about: dict[str, Any] = field(default_factory=dict)
    receipts: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    refused: bool = False
    unknown: bool = False

    def body(self, user: str | None = None) -> dict[str, Any]:
        body = {
            "site": self.site,
            "page_url": self.path,
            "timestamp": self.ts,
            "name": self.name,
            "user_id": user or self.user,
            "title": self.token,
            **self.about,
        }
        return body if self.event_id is None else body | {"event_id": self.event_id}


class Journal:
    """Everything that was sent in a run. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.events: dict[str, Sent] = {}
        self.garbage: set[bytes] = set()
        self.bots: set[str] = set()
        self.statuses: Counter[str] = Counter()
        self.odd_answers: list[str] = []

    def add(self, sent: Sent) -> None:
        with self.lock:
            self.events[sent.token] = sent

    def tell(self, sent: Sent, answer: dict[str, Any]) -> bool:
        """Note the answer to one event; whether it was a final one."""
        status = str(answer["status"])
        with self.lock:
            if status == "accepted":
                sent.receipts.add(answer["receipt"])
                sent.ids.add(answer["id"])
            elif status == "refused":
                sent.refused = True
            else:
                sent.unknown = True
        return status != "unavailable"

    def lost_sight(self, sent: Sent) -> None:
        with self.lock:
            sent.unknown = True

    def counts(self) -> dict[str, int]:
        events = self.events.values()
        return {
            "sent": len(events),
            "acked": sum(1 for e in events if e.receipts),
            "refused": sum(1 for e in events if e.refused),
            "unknown": sum(1 for e in events if e.unknown and not e.receipts),
        }


class Client(threading.Thread):
    """Sends single events and batches to one of the `ports` at a time until `stop` is set."""

    def __init__(
        self, number: int, seed: str, ports: list[int], journal: Journal, stop: threading.Event
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._number = number
        self._random = random.Random(f"{seed}/client/{number}")
        self._ports = ports
        self._journal = journal
        self._halt = stop
        self._made = 0

    def run(self) -> None:
        while not self._halt.is_set():
            size = self._random.choice((1, 1, 1, 2, 5, 20))
            events = [self._event() for _ in range(size)]
            for event in events:
                self._journal.add(event)
            self._deliver(events)
            if self._random.random() < 0.15:
                self._repeat()
            if self._random.random() < 0.15:
                self._send_twice_at_once()
            self._halt.wait(self._random.uniform(0.02, 0.12))

    def _event(self) -> Sent:
        draw = self._random
        self._made += 1
        site = CLOSED_SITE if draw.random() < 0.02 else draw.choice(list(SITES))
        return Sent(
            token=f"c{self._number}-{self._made}",
            site=site,
            path=draw.choice(PAGES),
            ts=int(time.time() * 1000) - self._age(),
            name=draw.choices(("pageview", "engagement", "signup"), (8, 1, 1))[0],
            user=f"u{draw.randrange(200)}",
            event_id=None if draw.random() < 0.1 else str(uuid.UUID(int=draw.getrandbits(128))),
            about={
                "screen": draw.choice(("1920x1080", "390x844")),
                "language": draw.choice(("en-GB", "de")),
                "referrer": draw.choice((None, f"https://news.example.org/{draw.randrange(9)}")),
                "props": draw.choice(({}, {"plan": "pro", "seats": draw.randrange(4)})),
            },
        )

    def _age(self) -> int:
        """Of every kind, but never near a border of what is kept or remembered."""
        draw = self._random
        kind = draw.random()
        if kind < 0.7:
            return draw.randrange(2_000)
        if kind < 0.77:
            # At either side of the half hour that ends a visit.
            return draw.randrange(50 * 60_000)
        if kind < 0.85:
            return draw.randrange(1 * HOUR_MS, 40 * HOUR_MS)
        if kind < 0.95:
            return draw.randrange(3 * DAY_MS, 25 * DAY_MS)
        return draw.randrange(35 * DAY_MS, 80 * DAY_MS)

    def _repeat(self) -> None:
        """Send again what was acknowledged, perhaps by another way into another partition."""
        draw = self._random
        with self._journal.lock:
            known = [e for e in self._journal.events.values() if e.event_id and e.receipts]
        if known:
            again = draw.sample(known, min(len(known), draw.choice((1, 3, 10))))
            other = f"u{draw.randrange(200)}" if draw.random() < 0.5 else None
            self._deliver(again, other)

    def _send_twice_at_once(self) -> None:
        """A sender without patience: the copies come through different partitions, hardly
        apart, so that two consumers may look for the same ids before either has written."""
        events = [event for event in (self._event() for _ in range(10)) if event.event_id]
        for event in events:
            self._journal.add(event)
        other = f"u{self._random.randrange(200)}"
        second = threading.Thread(target=self._deliver, args=(events, other), daemon=True)
        second.start()
        self._deliver(events)
        second.join()

    def _deliver(self, events: list[Sent], user: str | None = None) -> None:
        left = events
        for _ in range(_TRIES):
            left = self._try(left, user)
            if not left or self._halt.is_set():
                return
            self._halt.wait(_RETRY_AFTER_S)

    def _try(self, events: list[Sent], user: str | None) -> list[Sent]:
        """Send once; returns the events that should be sent again."""
        try:
            status, answer = self._post(events, user)
        except (OSError, HTTPException, ValueError) as error:
            self._journal.statuses[type(error).__name__] += 1
            for event in events:
                self._journal.lost_sight(event)
            return [event for event in events if event.event_id]
        self._journal.statuses[str(status)] += 1
        if status not in (202, 400, 403, 503):
            self._journal.odd_answers.append(f"{status}: {str(answer)[:300]}")
        answers = answer.get("results") or [_single(status, answer)] * len(events)
        unfinished = [
            event
            for event, result in zip(events, answers, strict=True)
            if not self._journal.tell(event, result)
        ]
        return [event for event in unfinished if event.event_id]

    def _post(self, events: list[Sent], user: str | None) -> tuple[int, dict[str, Any]]:
        port = self._random.choice(self._ports)
        bodies = [event.body(user) for event in events]
        path, body = ("/api/v1/track", bodies[0])
        if len(bodies) > 1:
            path, body = "/api/v1/track/batch", {"events": bodies}
        with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())


def _single(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    if status == 202:
        return answer
    return {"status": "refused" if status in (400, 403) else "unavailable"}


class Intruder(threading.Thread):
    """Writes straight into the topic: what nobody can read, and the views of bots."""

    def __init__(
        self, seed: str, servers: str, topic: str, journal: Journal, stop: threading.Event
    ) -> None:
        super().__init__(name="intruder", daemon=True)
        self._random = random.Random(f"{seed}/intruder")
        self._topic = topic
        self._journal = journal
        self._halt = stop
        self._producer = Producer(
            {"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True,
             "message.timeout.ms": 60_000, "log_level": 0}
        )  # fmt: skip

    def run(self) -> None:
        number = 0
        while not self._halt.wait(self._random.uniform(0.1, 0.5)):
            number += 1
            value = self._bot(number) if self._random.random() < 0.3 else self._garbage(number)
            self._producer.produce(self._topic, value, key=f"k{self._random.randrange(50)}")
        self._producer.flush(60)

    def _garbage(self, number: int) -> bytes:
        value = self._random.choice(
            (b"\xff\xfe", b"{", b'{"v":1}', b'{"v":2,"id":"a","site":"utc.example"}', b"[1,2]")
        ) + f"  {number}".encode()  # fmt: skip
        self._journal.garbage.add(value)
        return value

    def _bot(self, number: int) -> bytes:
        now, reason = int(time.time() * 1000), BOT_REASONS[number % len(BOT_REASONS)]
        event = {"id": f"bot-{number}", "site": "utc.example", "visitor": "b", "path": "/bot",
                 "ts": now, "received": now, "bot": reason}  # fmt: skip
        self._journal.bots.add(event["id"])  # type: ignore[arg-type]
        return json.dumps(event).encode()
