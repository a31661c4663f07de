"""Celery's beat, as its clock is put back."""

from datetime import timedelta
from pathlib import Path

from tracker_site.beat import SteadyScheduler
from tracker_site.celery import app


def test_it_goes_on_at_its_pace_when_the_clock_was_put_back(tmp_path: Path) -> None:
    file = str(tmp_path / "schedule")
    scheduler = SteadyScheduler(app, schedule_filename=file, max_interval=7_200, lazy=False)
    entry = scheduler.schedule["archive"]
    interval = entry.schedule.seconds
    entry.last_run_at = entry.default_now() + timedelta(hours=1)
    wait = scheduler.tick()
    assert interval - 5 < wait <= interval
    scheduler.close()
