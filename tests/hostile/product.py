"""The product's processes as hostile requests meet them, and what they say in their logs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from tests.conftest import Servers, make_topic
from tests.processing.pipeline import wait_for
from tests.tracker_site.web import Gateway, Web
from tracker_site.embedded.child import BASE_DIR, Child, manage

SITE = "shop.example"
LIMIT = 200_000
# Three at a time, on a machine that may be busy.
_START_SECONDS = 180.0
# Whoever asks has one of these, or nothing.
PREPARE = """
import json
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from dashboard.models import ApiKey
from ingest.models import Site
def add_site(name, **settings):  # tests that were here before may have left it
    return Site.objects.update_or_create(public_id=name, defaults=settings)[0]
add_site("localhost")
add_site("closed.example", active=False)
add_site("private.example", honour_opt_out=True)
add_site("strict.example", allowed_hostnames="*.a.example")
site = add_site("shop.example", path_rules="lower-case\\nkeep-query q")
user = User.objects.create_superuser("hostile", password="never used")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
_, all_sites = ApiKey.issue("all", True)
_, one_site = ApiKey.issue("one", False, [site])
print(json.dumps({"all": all_sites, "one": one_site, "session": session.session_key}))
"""
# What a process may say that nobody asked anything wrong.
_EXPECTED = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ INFO ")


@dataclass
class Log:
    """Follows one process's log; `wrong` is all in it that tells of trouble."""

    path: Path
    _at: int = 0
    _rest: str = ""

    def wrong(self) -> list[str]:
        """What came since it was asked last: every line but those of level INFO."""
        if self.path.stat().st_size == self._at:
            return []
        with self.path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        *lines, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        return [line for line in lines if line and not _EXPECTED.match(line)]


@dataclass
class Product:
    """`manage.py serve`, `gateway` and `consume` over one topic."""

    servers: Servers
    topic: str
    keys: dict[str, str]
    doors: dict[str, Web]
    consumer: Child
    environment: dict[str, str]
    logs: dict[str, Log] = field(default_factory=dict)

    @property
    def processes(self) -> list[Child]:
        return [*self.doors.values(), self.consumer]

    def wrong_in_logs(self) -> list[str]:
        """New lines that tell of trouble, and processes that are gone."""
        found = [f"{name}: {line}" for name, log in self.logs.items() for line in log.wrong()]
        dead = [
            one for one in self.processes if one.process is None or one.process.poll() is not None
        ]
        return found + [f"{child.name} is dead" for child in dead]

    def ledger(self) -> dict[str, int]:
        """What the consumer has made of the log until now."""
        answer = self.doors["serve"].get(
            "/api/v1/ledger", Authorization=f"Bearer {self.keys['all']}"
        )
        totals: dict[str, int] = answer.body["totals"]
        return totals

    def wait_counted(self, events: int, seconds: float = 120.0) -> dict[str, int]:
        """The ledger once it has `events`."""
        wait_for(lambda: self.ledger()["read"] >= events, "everything counted", seconds, 0.2)
        return self.ledger()

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return _manage(self.environment, *arguments)


@contextmanager
def running(directory: Path, servers: Servers, database_url: str) -> Iterator[Product]:
    """Everything up, over a topic of its own; the store has to be empty."""
    environment = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(directory),
        "REDIS_URL": servers.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "KAFKA_TOPIC": make_topic(servers),
        "KAFKA_DELIVERY_TIMEOUT_MS": "20000",
        "MAX_BODY_BYTES": str(LIMIT),
        "RATE_LIMIT_ADDRESS": "0",
        # The same for all of them, so that sessions are known, and ours, so that we may import.
        "SECRET_KEY": settings.SECRET_KEY,
        "LOG_FORMAT": "text",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
    }
    prepared = _manage(environment, "shell", "-v0", "-c", PREPARE)
    assert prepared.returncode == 0, prepared.stderr
    doors = {kind.arguments[0]: kind(directory, environment) for kind in (Web, Gateway)}
    consumer = Child("consume", manage("consume"), environment, directory)
    product = Product(
        servers, environment["KAFKA_TOPIC"], json.loads(prepared.stdout), doors, consumer,
        environment,
    )  # fmt: skip
    try:
        for child in product.processes:
            child.start_timeout = _START_SECONDS
            child.spawn()
        for child in product.processes:
            child.wait_ready()
        product.logs = {child.name: Log(child.log_path) for child in product.processes}
        yield product
    finally:
        for child in product.processes:
            child.stop()


def _manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
