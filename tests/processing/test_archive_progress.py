"""What the archive's segments add up to, against adding up each of them."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from processing.archive_progress import ArchiveProgress
from processing.models import Segment

pytestmark = pytest.mark.django_db
BEGAN = datetime(2026, 11, 22, tzinfo=UTC)
STATES = ["written"] * 6 + ["planned", "failed", "lost"]


def segments_of(log: str, partition: int, choice: random.Random) -> list[Segment]:
    """Ranges that follow each other, in all states, some with offsets that hold no message."""
    made, start = [], choice.randrange(100)
    for n in range(20):
        end, state = start + choice.randrange(1, 50), choice.choice(STATES)
        rows = end - start - choice.choice([0, 0, 1]) if state == "written" else None
        planned_at = BEGAN + timedelta(minutes=n, seconds=partition)
        made.append(
            Segment(
                topic="t", topic_id=log, partition=partition, start=start, end=end,
                state=state, rows=rows, planned_at=planned_at,
            )
        )  # fmt: skip
        start = end
    return made


@pytest.mark.parametrize("seed", range(5))
def test_it_adds_up_to_what_each_segment_says(seed: int) -> None:
    choice = random.Random(seed)
    made = [s for log in "ab" for p in (0, 1) for s in segments_of(log, p, choice)]
    Segment.objects.bulk_create(made)
    other = {"topic": "another", "topic_id": "c", "partition": 0, "planned_at": timezone.now()}
    Segment.objects.create(start=0, end=1_000, state="written", rows=1_000, **other)
    found = ArchiveProgress.read("t")
    for log in (None, "a", "b"):
        for states in found.states(log):
            of_state = [s for s in made if s.state == states.state and log in (None, s.topic_id)]
            assert states.segments == len(of_state)
            assert states.events == sum(s.events for s in of_state)
            if states.state != "written":
                assert states.oldest == min((s.planned_at for s in of_state), default=None)
    for log in "ab":
        of_log = [s for s in made if s.topic_id == log]
        assert found.rows(log) == sum(s.rows or 0 for s in of_log)
        assert found.earlier_rows(log) == sum(s.rows or 0 for s in made if s.topic_id != log)
        for partition in (0, 1):
            of_partition = [s for s in of_log if s.partition == partition]
            assert found.rows(log, partition) == sum(s.rows or 0 for s in of_partition)
            missing = (s.start for s in of_partition if s.state != "written")
            assert found.archived_to(log, partition) == min(missing, default=of_partition[-1].end)


def test_nothing_is_archived_of_a_topic_without_segments() -> None:
    found = ArchiveProgress.read("t")
    assert (found.archived_to("a", 0), found.rows("a"), found.planned_at) == (0, 0, None)
    assert {states.segments for states in found.states()} == {0}
