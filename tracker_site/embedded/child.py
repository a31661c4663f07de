"""One process of the product itself: a management command or Celery, run beside the servers."""

import sys
from pathlib import Path

from tracker_site.embedded.servers import Server

BASE_DIR = Path(__file__).resolve().parent.parent.parent


class Child(Server):
    """Runs `python *arguments` in the checkout with `settings` in its environment.

    Its output goes to `logs`/<name>.log, which is begun anew at each start of the stack.
    """

    def __init__(
        self, name: str, arguments: list[str], settings: dict[str, str], logs: Path
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._settings = settings
        super().__init__(logs, port=1)
        self.log_path.unlink(missing_ok=True)

    @property
    def working_directory(self) -> Path:
        return BASE_DIR

    def command(self) -> list[str]:
        return [sys.executable, *self._arguments]

    def environment(self) -> dict[str, str]:
        # Not what this process has for itself: Celery's get along with less.
        kind = "daemon_settings" if "celery" in self._arguments else "settings"
        return {"DJANGO_SETTINGS_MODULE": f"tracker_site.{kind}", **self._settings}

    def probe(self) -> bool:
        return True


def manage(*arguments: str) -> list[str]:
    return ["manage.py", *arguments]


def celery(*arguments: str) -> list[str]:
    return ["-m", "celery", "--quiet", "-A", "tracker_site", *arguments]
