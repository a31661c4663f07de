"""Tracked sites."""

import zoneinfo
from contextlib import suppress
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from ingest.enrichment.bots import read_bot_reasons
from ingest.enrichment.internal import read_internal
from ingest.enrichment.path import read_path_rules


def validate_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            f"{name!r} is not a time zone. Use an IANA name such as Europe/Berlin or UTC."
        )


def validate_no_alias(public_id: str) -> None:
    if Alias.objects.filter(name=public_id).exists():
        raise ValidationError(f"{public_id!r} is an alias of a site; take another id.")


def validate_hostnames(text: str) -> None:
    for hostname in text.split():
        _hostname(hostname.removeprefix("*."))


def validate_path_rules(text: str) -> None:
    try:
        read_path_rules(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def validate_internal_addresses(text: str) -> None:
    try:
        read_internal(text)
    except ValueError as error:
        raise ValidationError(f"{error}. Write addresses such as 203.0.113.0/24.") from None


def validate_bot_reasons(text: str) -> None:
    try:
        read_bot_reasons(text)
    except ValueError as error:
        raise ValidationError(f"{error}.") from None


_hostname = RegexValidator(
    r"^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$",
    "Write hostnames in lower case without scheme, port or path, such as www.example.com "
    "or *.example.com.",
)


class Site(models.Model):
    """A web site whose page views are counted.

    `public_id` is what senders put into `site`; it is part of every key in Redis and
    of every message, so it never changes after the first event.
    """

    public_id = models.CharField(
        "site id",
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                r"^[a-z0-9][a-z0-9._-]*$",
                "Use lower-case letters, digits, dots, hyphens and underscores.",
            ),
            validate_no_alias,
        ],
        help_text="What events carry in “site”, usually the domain: example.com. It names the "
        "site's counts for ever and can't be changed once the site exists.",
    )
    name = models.CharField(
        max_length=200, blank=True, help_text="Shown to people instead of the site id."
    )
    allowed_hostnames = models.TextField(
        blank=True,
        validators=[validate_hostnames],
        help_text="One hostname a line; *.example.com allows every subdomain. Events whose page "
        "address has another hostname are refused with 403. Empty: any hostname.",
    )
    active = models.BooleanField(
        default=True,
        help_text="An inactive site refuses new events with 403; its counts stay readable.",
    )
    honour_opt_out = models.BooleanField(
        "honour Do Not Track and Global Privacy Control",
        default=False,
        help_text="Events of browsers that send “DNT: 1” or “Sec-GPC: 1” are refused with 403 and "
        "kept nowhere: these visitors are in no number. Applies at once, pages stay as they are.",
    )
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="Days begin at midnight here: Europe/Berlin, America/New_York, UTC. A change "
        "applies to events counted from then on; earlier days keep their old borders.",
    )
    retention_days = models.PositiveIntegerField(
        "retention (days)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How many days the counts are kept. Events older than that are not counted "
        "but shown as late. Empty: for ever. The raw archive is not touched.",
    )
    path_rules = models.TextField(
        blank=True,
        validators=[validate_path_rules],
        help_text="What counts as one page, a rule a line: lower-case · drop-slash · keep-query "
        "page q · /user/*/edit -> /user/:id/edit · /shop/** -> /shop. Query and fragment "
        "are dropped anyhow. Applies to events that arrive from then on.",
    )
    internal_addresses = models.TextField(
        blank=True,
        validators=[validate_internal_addresses],
        help_text="Addresses or networks of the site's own people, one a line: 203.0.113.0/24. "
        "Their page views are counted as bots, with the reason “internal”.",
    )
    bots_as_people = models.TextField(
        "bots that count as people",
        blank=True,
        validators=[validate_bot_reasons],
        help_text="Reasons, one a line, for which page views are counted like those of people: "
        "internal, headless, crawler, datacenter, referrer_spam. Applies to events counted from "
        "then on; manage.py rebuild --site counts the earlier ones so too.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["public_id"]

    def __str__(self) -> str:
        return self.name or self.public_id


def validate_alias(alias: str) -> None:
    if Site.objects.filter(public_id=alias).exists():
        raise ValidationError(f"{alias!r} is the id of a site; a site needs no alias for its id.")


class Alias(models.Model):
    """A name by which another tracker knows a site, so that its scripts and clients can go on."""

    name = models.CharField(
        "alias",
        unique=True,
        max_length=100,
        validators=[
            RegexValidator(r"^[!-~]+$", "Use letters, digits and signs without spaces."),
            validate_alias,
        ],
        error_messages={"unique": "This alias is a site's already."},
        help_text="The site's id in another tracker: Umami's website id, Matomo's idsite, "
        "Segment's write key, Snowplow's app id, GA4's measurement id, a GoatCounter token, or a "
        "second domain. It belongs to one site only.",
    )
    site = models.ForeignKey(Site, models.CASCADE, related_name="aliases")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """UUIDs are the same in both cases; the doors look for small letters."""
        with suppress(ValueError):
            UUID(self.name)
            self.name = self.name.lower()


class VisitorSalt(models.Model):
    """The secret of one calendar day, of which browsers' visitor hashes are made; gone when the
    last time zone has left the day."""

    day = models.DateField(primary_key=True)
    salt = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.day}"
