"""`manage.py down`: stop the stack of this data directory from another terminal."""

from typing import Any

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tracker_site.embedded.stack import stop_leftovers
from tracker_site.embedded.state import StackState

_TIMEOUT_S = 180


class Command(BaseCommand):
    help = "Stop the stack that `manage.py up` runs here, or what a killed one left, in order."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        state = StackState(settings.DATA_DIR)
        if state.running():
            self._stop_supervisor(int(str(state.read().get("supervisor", 0))))
        elif not stop_leftovers(state, self.stdout.write):
            self.stdout.write("Nothing runs here.")
            return
        self.stdout.write("Stopped.")

    def _stop_supervisor(self, pid: int) -> None:
        try:
            supervisor = psutil.Process(pid)
            supervisor.terminate()
            supervisor.wait(_TIMEOUT_S)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            raise CommandError(f"Process {pid} did not stop in {_TIMEOUT_S} s.") from None
