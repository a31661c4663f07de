"""The version of the pages' scripts and styles: part of their addresses, so that a new one
is fetched at once, and told to open pages, so that an old one knows it is old."""

from functools import cache
from hashlib import blake2b
from pathlib import Path

_FOLDER = Path(__file__).parent / "static" / "dashboard"


@cache
def page_version() -> str:
    digest = blake2b(digest_size=6)
    for path in sorted(_FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()
