"""Django admin for the archive: what is written, what is not and why, and another try."""

from datetime import timedelta

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat, truncatechars
from django.utils import timezone
from kombu.exceptions import OperationalError

from processing.archive import try_again
from processing.models import Segment
from processing.tasks import AGAIN_AFTER_S, write_segment


@admin.register(Segment)
class SegmentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Is every event archived, and if not, which are missing?"""

    list_display = [
        "partition",
        "offsets",
        "state",
        "rows",
        "size",
        "attempts",
        "planned_at",
        "written_at",
        "trouble",
    ]
    list_display_links = ["partition", "offsets"]
    list_filter = ["state", "planned_at", "partition", "topic"]
    search_fields = ["key", "topic_id", "error"]
    date_hierarchy = "planned_at"
    actions = ["retry"]

    @admin.display(description="offsets", ordering="start")
    def offsets(self, segment: Segment) -> str:
        return f"{segment.start:,} to {segment.end - 1:,}"

    @admin.display(description="size", ordering="bytes")
    def size(self, segment: Segment) -> str | None:
        return None if segment.bytes is None else filesizeformat(segment.bytes)

    @admin.display(description="error")
    def trouble(self, segment: Segment) -> str:
        return truncatechars(segment.error, 120)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Segment | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Segment | None = None) -> bool:
        """A segment that were forgotten would be archived again, under another name."""
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("processing.change_segment")

    @admin.action(description="Retry the selected segments now", permissions=["retry"])
    def retry(self, request: HttpRequest, segments: QuerySet[Segment]) -> None:
        now = timezone.now()
        chosen = [segment.pk for segment in segments if try_again(segment, now)]
        left_out = segments.count() - len(chosen)
        if left_out:
            self.message_user(
                request, f"{left_out} segments are neither failed nor lost and stay as they are.",
                messages.WARNING,
            )  # fmt: skip
        try:
            _hand_out(chosen)
        except OperationalError as error:
            self.message_user(
                request, f"Celery's broker can't be reached ({error}), so no worker was told. The "
                f"{len(chosen)} segments are due now: the next archive run after the broker is "
                "back takes them, or `manage.py archive` at once.", messages.ERROR,
            )  # fmt: skip
            return
        self.message_user(request, f"{len(chosen)} segments were handed to the workers.")


def _hand_out(pks: list[int]) -> None:
    """Raises kombu's `OperationalError` within seconds when the broker is away."""
    for pk in pks:
        write_segment.apply_async([pk], expires=AGAIN_AFTER_S, retry=False)
        again_at = timezone.now() + timedelta(seconds=AGAIN_AFTER_S)
        Segment.objects.filter(pk=pk, due_at__isnull=False).update(due_at=again_at)
