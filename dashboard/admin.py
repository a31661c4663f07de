"""Django admin for sites and API keys; segments have a module of their own.

Sites are shown here, not in `ingest`, because the list shows counts, and imports go
dashboard → processing → ingest.
"""

import zoneinfo
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.models import ApiKey
from dashboard.segment_admin import SegmentAdmin  # noqa: F401  registers it
from dashboard.snippet import pinned_options, pinned_snippet_of, request_of, snippet_of
from dashboard.summaries import ago, read_summaries
from ingest.models import Alias, Site

_UNKNOWN = "—"
admin.site.site_header = admin.site.site_title = "Page view tracker"
admin.site.index_title = "Administration"


class SiteForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has none at run time
    """Offers the time zones there are instead of asking for their spelling."""

    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        initial="UTC",
        help_text=Site._meta.get_field("time_zone").help_text,
    )

    class Meta:
        model = Site
        fields = [
            "public_id",
            "name",
            "allowed_hostnames",
            "honour_opt_out",
            "active",
            "time_zone",
            "retention_days",
            "path_rules",
            "internal_addresses",
            "bots_as_people",
        ]


class AliasInline(admin.TabularInline):  # type: ignore[type-arg]
    """How other trackers name the site."""

    model = Alias
    extra = 0


@admin.register(Site)
class SiteAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Is every site set up right, and is anything arriving from it?"""

    form = SiteForm
    list_display = [
        "public_id",
        "name",
        "active",
        "views_today",
        "people_now",
        "last_event",
        "time_zone",
        "live_page",
    ]
    list_filter = ["active", "created_at"]
    search_fields = ["public_id", "name", "allowed_hostnames", "aliases__name"]
    actions = ["activate", "deactivate"]
    inlines = [AliasInline]
    readonly_fields = ["snippet", "request_line", "pinned_snippet", "pinned_module", "live_page"]
    fieldsets = [
        (None, {"fields": ["public_id", "name", "active", "live_page"]}),
        ("What is accepted", {"fields": ["allowed_hostnames", "honour_opt_out"]}),
        ("Whose and which pages", {"fields": ["internal_addresses", "path_rules"]}),
        ("How it is counted", {"fields": ["time_zone", "bots_as_people", "retention_days"]}),
        ("Send page views", {"fields": ["snippet", "request_line"]}),
        (
            "Send page views by a script that can't change",
            {
                "classes": ["collapse"],
                "description": "With its hash (subresource integrity) a browser runs the script "
                "only as it is today. When an upgrade of the tracker changes the script, pages "
                "that pin the old one send nothing until they get the new lines.",
                "fields": ["pinned_snippet", "pinned_module"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        """The sites; their counts are read for the whole page at once, when it is shown."""
        self._summaries: dict[str, dict[str, int | None]] | None = None
        return super().get_queryset(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> list[str]:
        return [*self.readonly_fields, *(["public_id"] if obj else [])]

    def get_fieldsets(self, request: HttpRequest, obj: Site | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:-2]

    @admin.display(description="views today")
    def views_today(self, site: Site) -> str:
        return self._shown(site, "views_today")

    @admin.display(description="people now")
    def people_now(self, site: Site) -> str:
        return self._shown(site, "visitors_now")

    @admin.display(description="last event")
    def last_event(self, site: Site) -> str:
        last = self._summary(site).get("last_received")
        if last is None:
            return _UNKNOWN
        return ago(datetime.fromtimestamp(last / 1000, UTC))

    @admin.display(description="live page")
    def live_page(self, site: Site) -> str:
        if site.pk is None:
            return _UNKNOWN
        return format_html('<a href="{}">Watch</a>', reverse("live", args=[site.public_id]))

    @admin.display(description="snippet")
    def snippet(self, site: Site) -> SafeString:
        """The lines to paste after <body> of every page."""
        return _copyable(snippet_of(site))

    @admin.display(description="snippet with hash")
    def pinned_snippet(self, site: Site) -> SafeString:
        return _copyable(pinned_snippet_of(site))

    @admin.display(description="before it, if it names options")
    def pinned_module(self, site: Site) -> SafeString:
        return _copyable(pinned_options())

    @admin.display(description="or by hand")
    def request_line(self, site: Site) -> SafeString:
        return _copyable(request_of(site))

    @admin.action(description="Activate: accept events of the selected sites")
    def activate(self, request: HttpRequest, sites: QuerySet[Site]) -> None:
        changed = sites.update(active=True)
        self.message_user(request, f"{changed} sites accept events from now on.")

    @admin.action(description="Deactivate: refuse events of the selected sites with 403")
    def deactivate(self, request: HttpRequest, sites: QuerySet[Site]) -> None:
        changed = sites.update(active=False)
        self.message_user(
            request,
            f"{changed} sites refuse new events with 403 from now on; their counts stay.",
            messages.WARNING,
        )

    def _shown(self, site: Site, name: str) -> str:
        count = self._summary(site).get(name)
        return _UNKNOWN if count is None else f"{count:,}"

    def _summary(self, site: Site) -> dict[str, int | None]:
        if self._summaries is None:
            self._summaries = read_summaries(list(Site.objects.all()))
        return self._summaries.get(site.public_id, {})


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Made and revoked here; the text of a key is shown once, when it is made."""

    list_display = ["name", "prefix", "all_sites", "created_at", "last_used_at", "revoked_at"]
    list_filter = ["all_sites", "revoked_at"]
    search_fields = ["name", "prefix"]
    filter_horizontal = ["sites"]
    readonly_fields = ["prefix", "created_at", "last_used_at", "revoked_at"]
    fields = ["name", "all_sites", "sites", *readonly_fields]
    actions = ["revoke"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made, text = ApiKey.issue(obj.name, obj.all_sites)
        # The form's object becomes the one that was made; its sites are saved after this.
        obj.__dict__.update(made.__dict__)
        message = format_html(
            "The key, shown only now: <code>{}</code>. Send it as "
            "<code>Authorization: Bearer …</code>.",
            text,
        )
        self.message_user(request, message, messages.WARNING)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keys are revoked, not deleted, so that it stays known what there was."""
        return False

    @admin.action(description="Revoke the selected keys: they get 401 from now on")
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = keys.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{revoked} keys are revoked.", messages.WARNING)


def _copyable(text: str) -> SafeString:
    return format_html('<textarea readonly rows="5" cols="90">{}</textarea>', text)
