"""The version of the pages' scripts and styles: part of their addresses, so that a new one
is fetched at once, and told to open pages, so that an old one knows it is old."""

import json
from functools import cache
from hashlib import blake2b
from pathlib import Path

from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_FOLDER = Path(__file__).parent / "static" / "dashboard"


@cache
def page_version() -> str:
    digest = blake2b(digest_size=6)
    for path in sorted(_FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def import_map() -> SafeString:
    """The element that gives the modules which other modules import their version too: a page
    must not get one of them from a cache and another from a newer server."""
    modules = [static(f"dashboard/{path.name}") for path in sorted(_FOLDER.glob("*.js"))]
    imports = {module: f"{module}?v={page_version()}" for module in modules}
    content = mark_safe(json.dumps({"imports": imports}))  # noqa: S308  names of our own files
    return format_html('<script type="importmap">{}</script>', content)
