"""`manage.py add_site`: track one more site, from a script."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from ingest.models import Alias, Site


class Command(BaseCommand):
    help = (
        "Make a site whose page views are counted; one that exists stays as it is, but for new "
        "aliases."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "site",
            nargs="?",
            default=settings.DEFAULT_SITE,
            help="the site id, usually its domain; default: the default site (%(default)s)",
        )
        parser.add_argument("--name", default="", help="shown to people instead of the site id")
        parser.add_argument("--time-zone", default="UTC", help="days begin at midnight here")
        parser.add_argument(
            "--alias",
            action="append",
            default=[],
            metavar="ID",
            help="the site's id in another tracker, whose scripts may go on; may be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            said = list(self._add(options))
        for line in said:
            self.stdout.write(line)

    @staticmethod
    def _add(options: dict[str, Any]) -> Iterator[str]:
        public_id = options["site"]
        site = Site.objects.filter(public_id=public_id).first()
        if site is None:
            site = Site(public_id=public_id, name=options["name"], time_zone=options["time_zone"])
            _save(site)
            yield f"Added site {public_id}."
        else:
            yield f"Site {public_id} exists."
        for name in options["alias"]:
            alias = Alias(name=name, site=site)
            alias.clean()
            if site.aliases.filter(name=alias.name).exists():
                yield f"{alias.name} is an alias of it."
            else:
                _save(alias)
                yield f"Added alias {alias.name}."


def _save(made: Site | Alias) -> None:
    try:
        made.full_clean()
    except ValidationError as error:
        raise CommandError(_sentences(error, made)) from None
    made.save()


def _sentences(error: ValidationError, made: Site | Alias) -> str:
    shown = {"name": "the alias"} if isinstance(made, Alias) else {}
    return " ".join(
        f"{shown.get(field, field)} is {getattr(made, field)!r}: {' '.join(reasons)}"
        for field, reasons in error.message_dict.items()
    )
