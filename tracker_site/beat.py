"""Celery's beat, whose clock may be put back."""

from typing import Any

from celery.beat import PersistentScheduler


class SteadyScheduler(PersistentScheduler):  # type: ignore[misc]  # Celery has no types
    """Plans by the wall clock, as its parent does, which after a step back would send nothing
    until the time that it had been before is reached again, even if started again."""

    def tick(self, *arguments: Any, **named: Any) -> float:
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None
        return float(super().tick(*arguments, **named))
