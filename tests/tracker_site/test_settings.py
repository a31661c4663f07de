"""The settings file against the environment and against the README's table."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tracker_site import settings
from tracker_site.environment import Environment

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
Load = Callable[..., tuple[dict[str, Any], dict[str, str]]]


class Recorder(Environment):
    """Also remembers the defaults."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values, {})
        self.defaults: dict[str, str] = {}

    def text(self, name: str, default: str) -> str:
        self.defaults[name] = default
        return super().text(name, default)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """The settings that an environment gives, and every default by its variable's name."""
    monkeypatch.setenv("DATA_DIR", "/<DATA_DIR>")

    def load(**values: str) -> tuple[dict[str, Any], dict[str, str]]:
        recorder = Recorder({"SECRET_KEY": "secret", **values})
        monkeypatch.setattr("tracker_site.environment.process_environment", lambda _: recorder)
        return runpy.run_path(str(ROOT / "tracker_site/settings.py")), recorder.defaults

    return load


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the section's table, without its head."""
    lines = re.findall(r"^\| (.+) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def test_the_readme_lists_every_setting_with_its_default(load: Load) -> None:
    _, defaults = load(REDIS_URL="<REDIS_URL>")
    table = {name.strip("`"): default.strip("`") for name, default, _ in rows("Settings")}
    assert table == {
        name: default.replace("/<DATA_DIR>", "<DATA_DIR>") for name, default in defaults.items()
    }


def test_the_readme_says_what_each_setting_means() -> None:
    names = [name for name, _, _ in rows("Settings")]
    assert len(names) == len(set(names))
    assert all(len(meaning) > 10 for _, _, meaning in rows("Settings"))


def test_the_readme_says_what_each_package_is_for() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    packages = [re.split(r"[\[=]", line)[0] for line in lines if line and line[0] != "#"]
    assert [name.strip("`") for name, _ in rows("What each package is for")] == packages


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "maybe"),
        ("HTTPS", "https"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "info"),
        ("MAX_BODY_BYTES", "1 MB"),
        ("RATE_LIMIT_ADDRESS", "-1"),
        ("KAFKA_PARTITIONS", "0"),
        ("KAFKA_REPLICATION", "three"),
        ("KAFKA_RETENTION_HOURS", "7d"),
        ("REDIS_SHARDS", "0"),
        ("CONSUMER_BATCH_EVENTS", "1e6"),
        ("ARCHIVE_INTERVAL_SECONDS", "0"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(load: Load, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name} is {value!r}"):
        load(**{name: value})


def test_every_number_refuses_what_is_none(load: Load) -> None:
    _, defaults = load()
    numbers = [name for name, default in defaults.items() if default.isdecimal()]
    assert len(numbers) > 15
    for name in numbers:
        with pytest.raises(ImproperlyConfigured, match=f"{name} is 'many'"):
            load(**{name: "many"})


def test_nothing_is_written_where_every_part_has_an_address(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    load(SECRET_KEY="x", DATABASE_URL="postgres://a:b@host/c", ARCHIVE_URL="s3://bucket")
    assert not (tmp_path / "data").exists()


def test_a_secret_key_is_made_once_and_kept(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    first, _ = load(SECRET_KEY="")
    second, _ = load(SECRET_KEY="")
    assert first["SECRET_KEY"] == second["SECRET_KEY"] and len(first["SECRET_KEY"]) > 50
    assert not first["SECRET_KEY_IS_SHARED"]
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0


def test_https_switches_on_what_belongs_to_it(load: Load) -> None:
    loaded, _ = load(HTTPS="true")
    assert loaded["SECURE_SSL_REDIRECT"] and loaded["SESSION_COOKIE_SECURE"]
    assert loaded["SECURE_HSTS_SECONDS"] > 0
    assert loaded["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_celery_uses_redis_unless_told_otherwise(load: Load) -> None:
    assert load(REDIS_URL="redis://a")[0]["CELERY_BROKER_URL"] == "redis://a"
    loaded, _ = load(REDIS_URL="redis://a", CELERY_BROKER_URL="redis://b")
    assert loaded["CELERY_BROKER_URL"] == "redis://b"


def test_the_running_settings_know_what_was_declared(load: Load) -> None:
    assert set(settings.env.declared) == set(load()[1])
