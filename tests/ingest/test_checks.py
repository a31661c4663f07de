from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks


@pytest.mark.parametrize(
    ("setting", "id_"), [("GEOIP_DATABASE", "ingest.E001"), ("REFERRER_SPAM_FILE", "ingest.E002")]
)
def test_it_names_the_file_that_cant_be_read(
    settings: Any, tmp_path: Path, setting: str, id_: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff\xfe\xfd")
    for file in (str(broken), str(tmp_path / "missing")):
        setattr(settings, setting, file)
        (found,) = [message for message in run_checks() if message.id == id_]
        assert repr(file) in found.msg


@pytest.mark.parametrize("places", ["", "off"])
def test_it_is_content_without_files(settings: Any, places: str) -> None:
    settings.GEOIP_DATABASE = places
    assert not [m for m in run_checks() if m.id is not None and m.id.startswith("ingest.")]
