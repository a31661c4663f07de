"""The cutting alone, and planners against each other."""

import logging
import uuid
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from processing import archive_plan
from processing.archive_plan import EXPIRED, OffsetRange, cut, plan
from processing.log import Log
from processing.models import Planning, Segment
from tests.conftest import Servers
from tests.processing.pipeline import Pipeline, page_view

embedded = pytest.mark.parametrize("servers", ["embedded"], indirect=True)
offsets = st.integers(0, 500)


@given(planned_to=st.none() | offsets, start=offsets, length=offsets, most=st.integers(1, 90))
def test_ranges_follow_each_other_up_to_the_end(
    planned_to: int | None, start: int, length: int, most: int
) -> None:
    end = start + length
    ranges = cut(planned_to, start, end, most)
    begin = start if planned_to is None else planned_to
    covered = [offset for r in ranges for offset in range(r.start, r.end)]
    assert covered == list(range(begin, end))
    assert all(r.start < r.end for r in ranges)
    assert all(r.expired == (r.end <= start) for r in ranges)
    assert all(r.end - r.start <= most for r in ranges if not r.expired)


@pytest.mark.parametrize(
    ("planned_to", "start", "end", "ranges"),
    [
        (None, 0, 0, []),
        (None, 7, 9, [OffsetRange(7, 9)]),
        (9, 7, 9, []),
        (9, 0, 5, []),
        (0, 0, 25, [OffsetRange(0, 10), OffsetRange(10, 20), OffsetRange(20, 25)]),
        (3, 8, 9, [OffsetRange(3, 8, expired=True), OffsetRange(8, 9)]),
        (3, 8, 8, [OffsetRange(3, 8, expired=True)]),
    ],
)
def test_cut(planned_to: int | None, start: int, end: int, ranges: list[OffsetRange]) -> None:
    assert cut(planned_to, start, end, 10) == ranges


@pytest.mark.django_db
@embedded
def test_it_plans_once_what_another_planner_plans_at_the_same_time(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is always faster: it plans between this one's reading and writing."""
    pipeline.send((page_view() for _ in range(25)), partition=0)
    others: list[Segment] = []

    def cut_late(*arguments: Any) -> list[OffsetRange]:
        ranges = cut(*arguments)
        monkeypatch.setattr(archive_plan, "cut", cut)
        if not others:
            others.extend(plan(pipeline.log, 10, timezone.now()))
            pipeline.send((page_view() for _ in range(5)), partition=0)
        return ranges

    monkeypatch.setattr(archive_plan, "cut", cut_late)
    assert plan(pipeline.log, 7, timezone.now()) == []
    assert Planning.objects.get().cut_back == {}
    assert [(s.start, s.end) for s in others] == [(0, 10), (10, 20), (20, 25)]
    (rest,) = plan(pipeline.log, 7, timezone.now())
    assert (rest.start, rest.end) == (25, 30)
    assert plan(pipeline.log, 7, timezone.now()) == []


@pytest.mark.django_db
@embedded
def test_it_says_that_a_log_is_shorter_than_planned(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    Segment.objects.create(
        topic=pipeline.topic,
        topic_id=pipeline.log.describe().id,
        partition=0,
        start=0,
        end=10,
        planned_at=timezone.now(),
    )
    assert plan(pipeline.log, 7, timezone.now()) == []
    assert "ends 10 offsets before what is planned" in caplog.text
    assert Planning.objects.get(topic=pipeline.topic).cut_back == {"0": 10}
    pipeline.send((page_view() for _ in range(12)), partition=0)
    later = timezone.now()
    (segment,) = plan(pipeline.log, 7, later)
    assert (segment.start, segment.end) == (10, 12)
    planning = Planning.objects.get(topic=pipeline.topic)
    assert (planning.at, planning.cut_back) == (later, {})


@pytest.mark.parametrize("servers", ["apache"], indirect=True)
def test_it_waits_for_the_leaders_of_a_topic_just_made(servers: Servers) -> None:
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    for _ in range(40):
        name = f"pageviews-{uuid.uuid4().hex[:8]}"
        admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)
        assert Log(servers.bootstrap_servers, name).starts(2) == {0: 0, 1: 0}


@pytest.mark.django_db
@pytest.mark.parametrize("servers", ["apache"], indirect=True)
def test_it_tells_what_expired_before_it_was_planned(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.send((page_view() for _ in range(10)), partition=0)
    plan(pipeline.log, 100, timezone.now())
    pipeline.send((page_view() for _ in range(10)), partition=0)
    pipeline.expire(0, before=15)
    lost, planned = plan(pipeline.log, 100, timezone.now())
    assert (lost.start, lost.end, lost.state, lost.error) == (10, 15, "lost", EXPIRED)
    assert (planned.start, planned.end, planned.state) == (15, 20, "planned")
    assert caplog.records[-1].levelno == logging.ERROR
    assert "partition 0, offsets 10 to 14" in caplog.text
