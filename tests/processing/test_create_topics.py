import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from processing.log import Log, NoSuchTopic
from processing.management.commands import create_topics
from tests.conftest import Servers
from tests.processing.pipeline import wait_for


@pytest.fixture
def topics(servers: Servers, settings: Any, topic: str) -> list[str]:
    """Names that no topic has yet."""
    settings.KAFKA_BOOTSTRAP_SERVERS = servers.bootstrap_servers
    settings.KAFKA_TOPIC = f"{topic}.new"
    settings.KAFKA_DEAD_TOPIC = f"{topic}.new.dead"
    settings.KAFKA_PARTITIONS = 3
    return [f"{topic}.new", f"{topic}.new.dead"]


def said() -> str:
    output = io.StringIO()
    call_command("create_topics", stdout=output)
    return output.getvalue()


def partitions(servers: Servers, topics: list[str]) -> list[int]:
    try:
        return [Log(servers.bootstrap_servers, name).describe().partitions for name in topics]
    except NoSuchTopic:
        return []


def test_topics_are_made_once(servers: Servers, topics: list[str]) -> None:
    assert said() == "".join(f"Created topic {name}.\n" for name in topics)
    wait_for(lambda: partitions(servers, topics) == [3, 1], "the broker to know its topics")
    assert said() == "".join(f"Topic {name} exists.\n" for name in topics)


def test_it_says_where_kafka_does_not_answer(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    monkeypatch.setattr(create_topics, "_TIMEOUT_S", 1)
    with pytest.raises(CommandError, match=r"at 127\.0\.0\.1:1: .*Check KAFKA_BOOTSTRAP_SERVERS"):
        said()
