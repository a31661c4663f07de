"""`manage.py add_api_key`: a key for the JSON API, from a script."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dashboard.models import ApiKey
from ingest.models import Site


class Command(BaseCommand):
    help = (
        "Make an API key and show it, this once; a name that has a valid key already gets no "
        "other. Keys are revoked in the admin."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="who uses it, so that it can be revoked")
        parser.add_argument(
            "--site", action="append", default=[], help="may read just this; default: every site"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if ApiKey.objects.filter(name=name, revoked_at=None).exists():
            self.stdout.write(f"API key {name} exists; its text was shown when it was made.")
            return
        sites = [_site(public_id) for public_id in options["site"]]
        _, text = ApiKey.issue(name, all_sites=not sites, sites=sites)
        self.stdout.write(f"Added API key {name}: {text}")


def _site(public_id: str) -> Site:
    try:
        return Site.objects.get(public_id=public_id)
    except Site.DoesNotExist:
        raise CommandError(
            f"There is no site {public_id!r}. Add it with `manage.py add_site {public_id}`."
        ) from None
