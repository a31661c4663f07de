"""The secrets of the days, in a real database."""

import threading
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import DatabaseError, connection

from ingest.models import VisitorSalt
from ingest.visitor_salts import SALT_BYTES, FollowedSalts, days_alive
from tests.ingest.test_sites import failing
from tests.processing.pipeline import wait_for

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
TODAY = date(2026, 11, 24)


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def read(clock: Clock) -> FollowedSalts:
    salts = FollowedSalts(clock)
    salts.read()
    return salts


def days() -> list[date]:
    return list(VisitorSalt.objects.order_by("day").values_list("day", flat=True))


@pytest.mark.parametrize("hour", range(24))
def test_the_day_of_every_time_zone_has_a_salt_now_and_in_a_day(hour: int) -> None:
    now = NOW.replace(hour=hour)
    alive = days_alive(now)
    for name in available_timezones():
        local = now.astimezone(ZoneInfo(name))
        assert {local.date(), (local + timedelta(days=1)).date()} <= set(alive)
    assert len(alive) <= 4


def test_every_process_has_the_same_salts() -> None:
    one, other = read(Clock()), read(Clock())
    assert one.salt_of(TODAY) == other.salt_of(TODAY)
    assert len(one.salt_of(TODAY)) == SALT_BYTES
    assert one.salt_of(TODAY) != one.salt_of(TODAY + timedelta(days=1))


def test_a_salt_is_there_before_its_day_and_stays_what_it_is() -> None:
    clock = Clock()
    salts = read(clock)
    ahead = salts.salt_of(TODAY + timedelta(days=1))
    clock.now += timedelta(days=1)
    salts.read()
    assert salts.salt_of(TODAY + timedelta(days=1)) == ahead


def test_a_salt_is_destroyed_once_the_last_time_zone_has_left_its_day() -> None:
    clock = Clock(datetime(2026, 11, 25, 12, 9, tzinfo=UTC))  # ten minutes for clocks that differ
    salts = read(clock)
    assert salts.salt_of(TODAY)
    assert TODAY in days()
    clock.now += timedelta(minutes=2)
    salts.read()
    assert TODAY not in days()
    with pytest.raises(DatabaseError, match="2026-11-24"):
        salts.salt_of(TODAY)


def test_the_known_ones_stay_while_the_database_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    salts = read(clock)
    known = salts.salt_of(TODAY)
    with connection.execute_wrapper(failing):
        salts.read()
        assert salts.salt_of(TODAY) == known
        clock.now += timedelta(days=2)
        salts.read()
        with pytest.raises(DatabaseError, match="not known"):
            salts.salt_of(TODAY)
    assert caplog.text.count("can't be read") == 2


@pytest.mark.django_db(transaction=True)
def test_a_thread_reads_them_and_no_event_waits() -> None:
    salts = FollowedSalts(Clock())
    with pytest.raises(DatabaseError, match="not known"):
        salts.salt_of(TODAY)
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(salts, stop))
    thread.start()
    try:
        wait_for(lambda: TODAY in days(), "the salts to be made")
        wait_for(lambda: knows(salts), "the salts to be known")
        with connection.execute_wrapper(failing):
            assert salts.salt_of(TODAY)
    finally:
        stop.set()
        thread.join()


def knows(salts: FollowedSalts) -> bool:
    with suppress(DatabaseError):
        return bool(salts.salt_of(TODAY))
    return False


def follow(salts: FollowedSalts, stop: threading.Event) -> None:
    salts.follow(stop)
    connection.close()
