"""`manage.py add_site`: track one more site, from a script."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingest.models import Site


class Command(BaseCommand):
    help = "Make a site whose page views are counted; one that exists stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "site",
            nargs="?",
            default=settings.DEFAULT_SITE,
            help="the site id, usually its domain; default: the default site (%(default)s)",
        )
        parser.add_argument("--name", default="", help="shown to people instead of the site id")
        parser.add_argument("--time-zone", default="UTC", help="days begin at midnight here")

    def handle(self, *args: Any, **options: Any) -> None:
        public_id = options["site"]
        if Site.objects.filter(public_id=public_id).exists():
            self.stdout.write(f"Site {public_id} exists.")
            return
        site = Site(public_id=public_id, name=options["name"], time_zone=options["time_zone"])
        try:
            site.full_clean()
        except ValidationError as error:
            raise CommandError(_sentences(error, site)) from None
        site.save()
        self.stdout.write(f"Added site {public_id}.")


def _sentences(error: ValidationError, site: Site) -> str:
    return " ".join(
        f"{field} is {getattr(site, field)!r}: {' '.join(reasons)}"
        for field, reasons in error.message_dict.items()
    )
