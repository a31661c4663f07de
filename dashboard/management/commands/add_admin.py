"""`manage.py add_admin`: the first login, from a script."""

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

_NAME = "DJANGO_SUPERUSER_USERNAME"
_PASSWORD = "DJANGO_SUPERUSER_PASSWORD"  # noqa: S105  the name of a variable


class Command(BaseCommand):
    help = (
        f"Make the admin that {_NAME} (default: admin) and {_PASSWORD} describe, as "
        "`createsuperuser --noinput` does; one who exists keeps the password."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        name = os.environ.get(_NAME) or "admin"
        if get_user_model().objects.filter(username=name).exists():
            self.stdout.write(f"Admin {name} exists.")
            return
        # Without it Django would make an admin who can't log in.
        if not os.environ.get(_PASSWORD):
            raise CommandError(f"{_PASSWORD} is not set. Set it to the password of {name}.")
        call_command("createsuperuser", interactive=False, username=name, email="", verbosity=0)
        self.stdout.write(f"Added admin {name}.")
