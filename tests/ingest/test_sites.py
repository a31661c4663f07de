"""The tracked sites, as a process sees them."""

import contextlib
import threading
import time
from collections.abc import Callable

import msgspec
import pytest
from django.db import DatabaseError, OperationalError, connection

from ingest.models import Site
from ingest.sites import SiteDirectory, SiteSettings
from tests.processing.pipeline import wait_for


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(*_: object) -> None:
    raise OperationalError("the database is away")


def is_active(directory: SiteDirectory) -> bool:
    site = directory.get("example.com")
    assert site is not None
    return site.active


def public_id_of(directory: SiteDirectory, name: str) -> str | None:
    site = directory.get(name)
    return site.public_id if site else None


@pytest.fixture
def site(db: None) -> Site:
    return Site.objects.create(public_id="example.com")


def test_it_sees_a_change_within_a_second(site: Site) -> None:
    directory = SiteDirectory()
    assert is_active(directory)
    Site.objects.update(active=False)
    changed_at = time.monotonic()
    wait_for(lambda: not is_active(directory), "the change to be seen", seconds=2)
    assert time.monotonic() - changed_at < 1.5


def test_it_sees_new_and_deleted_sites(site: Site) -> None:
    clock = Clock()
    directory = SiteDirectory(1.0, clock)
    assert directory.get("new.example") is None
    Site.objects.create(public_id="new.example")
    site.delete()
    clock.now = 1.0
    assert directory.get("new.example") is not None
    assert directory.get("example.com") is None


def test_it_finds_a_site_by_its_aliases(site: Site) -> None:
    clock = Clock()
    directory = SiteDirectory(1.0, clock)
    site.aliases.create(name="G-ABC123")
    other = Site.objects.create(public_id="other.example")
    assert public_id_of(directory, "G-ABC123") == "example.com"
    assert directory.get("g-abc123") is None
    site.aliases.update(site=other)
    clock.now = 1.0
    assert public_id_of(directory, "G-ABC123") == "other.example"
    other.delete()
    clock.now = 2.0
    assert directory.get("G-ABC123") is None


def test_a_sites_own_id_counts_more_than_an_alias(site: Site) -> None:
    other = Site.objects.create(public_id="other.example")
    other.aliases.create(name="example.com")
    assert public_id_of(SiteDirectory(), "example.com") == "example.com"


def test_it_asks_the_database_once_a_second(
    site: Site, django_assert_num_queries: Callable[..., object]
) -> None:
    clock = Clock()
    directory = SiteDirectory(1.0, clock)
    with django_assert_num_queries(4):  # type: ignore[attr-defined]
        for clock.now in (0.0, 0.5, 0.99, 1.0, 1.5, 1.99):
            assert is_active(directory)


def test_it_keeps_the_last_known_sites_while_the_database_is_away(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    directory = SiteDirectory(1.0, clock)
    assert is_active(directory)
    with connection.execute_wrapper(failing):
        for clock.now in (1.0, 2.0, 3.0):
            assert is_active(directory)
    assert caplog.text.count("The sites can't be read") == 3
    Site.objects.update(active=False)
    assert is_active(directory), "asked again at most once a second, away or not"
    clock.now = 4.0
    assert not is_active(directory)


def test_it_says_so_when_the_sites_were_never_read(site: Site) -> None:
    directory = SiteDirectory()
    with connection.execute_wrapper(failing), pytest.raises(DatabaseError, match="away"):
        directory.get("example.com")
    assert is_active(directory)


def test_it_leaves_a_transactions_connection_alone(site: Site) -> None:
    """It is asked inside requests, whose transactions are not its own."""
    SiteDirectory().get("example.com")
    assert connection.connection is not None and not connection.closed_in_transaction
    assert Site.objects.filter(public_id="example.com").exists()


def test_it_lets_nobody_wait_for_a_slow_reading(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread reads again; the others go on with what is known."""
    clock = Clock()
    directory = SiteDirectory(1.0, clock)
    assert is_active(directory)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*_: str) -> list[tuple[str, ...]]:
        begun.set()
        assert go_on.wait(10)
        return []

    monkeypatch.setattr(Site.objects, "values_list", slowly)
    clock.now = 1.0

    def read() -> None:
        with contextlib.closing(connection):  # a thread has a connection of its own
            directory.get("example.com")

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10)
    assert is_active(directory)
    go_on.set()
    reader.join()
    assert directory.get("example.com") is None


def test_it_knows_what_the_admin_set(site: Site) -> None:
    known = SiteSettings(
        "example.com",
        active=False,
        allowed_hostnames="example.com\n*.example.com",
        honour_opt_out=True,
        time_zone="Europe/Berlin",
        retention_days=30,
        path_rules="lower-case",
        internal_addresses="203.0.113.0/24",
        bots_as_people="internal",
    )
    Site.objects.update(**msgspec.structs.asdict(known))
    assert SiteDirectory().get("example.com") == known
