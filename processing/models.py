"""What is archived: ranges of the log."""

from django.db import models
from django.db.models import F, Q


class Segment(models.Model):
    """The offsets `start` … `end` - 1 of one partition of one log, archived as one object.

    The segments of a partition follow each other without gap or overlap. A row is written
    before anything of its range is read, so every try reads the same range and writes the
    same object.
    """

    class State(models.TextChoices):
        PLANNED = "planned"
        WRITTEN = "written"
        # Tried in vain; it is tried again at `due_at`.
        FAILED = "failed"
        # Not to be had any more: it expired in Kafka, or its log is gone.
        LOST = "lost"

    UNFINISHED = (State.PLANNED, State.FAILED)
    # What a person may have tried again.
    UNWRITTEN = (State.FAILED, State.LOST)

    topic = models.CharField(max_length=249)
    topic_id = models.CharField("log", max_length=22)
    partition = models.PositiveIntegerField()
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    planned_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    # Where the object is, below `ARCHIVE_URL`; empty where there never will be one.
    key = models.CharField("object", max_length=200, blank=True)
    rows = models.PositiveBigIntegerField(null=True, blank=True)
    bytes = models.PositiveBigIntegerField(null=True, blank=True)
    attempts = models.PositiveIntegerField("failed attempts", default=0)
    error = models.TextField(blank=True)
    written_at = models.DateTimeField(null=True, blank=True)
    # The number of the last forgetting that the object respects.
    forgotten_to = models.PositiveIntegerField(default=0)
    # An object that another one took the place of, and that is to be deleted.
    replaced_key = models.CharField("replaced object", max_length=200, blank=True, default="")
    # When it is to be handed to a worker, or to another one if that one is silent.
    due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-planned_at", "partition", "-start"]
        constraints = [
            models.UniqueConstraint(
                fields=["topic_id", "partition", "start"], name="one_segment_a_start"
            ),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="segment_not_empty"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="segments_due"),
            # What `ArchiveProgress` reads of all, of those not written, of those with holes.
            models.Index(
                fields=["topic", "topic_id", "partition", "start", "end"], name="segments_spans"
            ),
            models.Index(
                fields=["topic", "topic_id", "partition"],
                condition=~Q(state="written"),
                name="segments_not_written",
            ),
            models.Index(
                fields=["topic", "topic_id", "partition"],
                condition=Q(rows__lt=F("end") - F("start")),
                name="segments_with_holes",
            ),
            # What is to be looked through after a forgetting.
            models.Index(
                fields=["forgotten_to"],
                condition=Q(state="written"),
                name="segments_forgotten_to",
            ),
            models.Index(
                fields=["replaced_key"],
                condition=~Q(replaced_key=""),
                name="segments_replaced",
            ),
        ]

    def __str__(self) -> str:
        return f"partition {self.partition}, offsets {self.start:,} to {self.end - 1:,}"

    @property
    def events(self) -> int:
        return self.end - self.start


class Forgetting(models.Model):
    """The wish that a visitor of a site, or all of them, be forgotten with all that arrived before
    `before`. The row is written before anything is deleted.

    Once Kafka can't hold any of it, site and visitor are emptied; the number stays, as they
    follow each other without a gap.
    """

    number = models.PositiveIntegerField(primary_key=True)
    site = models.CharField(max_length=200, blank=True)
    # A visitor's hash; empty: everyone.
    visitor = models.CharField(max_length=200, blank=True)
    # Unix milliseconds.
    before = models.PositiveBigIntegerField()
    # When nothing was left of it in archive and live store; empty: it was begun.
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        if not self.site:
            return f"forgetting {self.number}"
        return f"site {self.site}, " + (f"visitor {self.visitor}" if self.visitor else "everyone")


class Planning(models.Model):
    """When a topic's log was last asked for what is to be archived, and found to be too short.
    One row a topic, whoever planned."""

    topic = models.CharField(max_length=249, primary_key=True)
    at = models.DateTimeField()
    # Partition → offsets that segments have and the log has not: it was cut back.
    cut_back = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.topic}, {self.at:%Y-%m-%d %H:%M:%S}"


class Replay(models.Model):
    """A dead letter that was put back into the log, or was about to be.

    The row is written before the letter is sent and says when that was; `done_at` is set
    once Kafka has it. Between the two a kill leaves it open, and the letter's event id tells
    whether it has been counted.
    """

    # Where the letter was first logged; copies of it share one row.
    log = models.CharField(max_length=249)
    partition = models.PositiveIntegerField()
    offset = models.PositiveBigIntegerField()
    started_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["log", "partition", "offset"], name="one_replay_a_letter"
            )
        ]

    def __str__(self) -> str:
        return f"{self.log}, {self.partition}-{self.offset}"
