"""What a site's owner pastes, or types, to send page views."""

from urllib.parse import urlencode

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import format_html

from ingest.models import Site
from ingest.tracker_script import TrackerScript, tracker_script


def snippet_of(site: Site) -> str:
    """HTML that loads the tracker script, or an image where there is no JavaScript."""
    return _snippet(site, _address("t.js"))


def pinned_snippet_of(site: Site) -> str:
    """The same, but browsers run the script only as it is now (subresource integrity)."""
    script = _script("t.js")
    return _snippet(site, f"{_address('t.js')}?v={script.version}", script.integrity)


def pinned_options() -> str:
    """What pins the second module as well: it has to stand before the script."""
    return format_html(
        '<link rel="modulepreload" href="{}" integrity="{}" crossorigin="anonymous">',
        _address("options.js"),
        _script("options.js").integrity,
    )


def request_of(site: Site) -> str:
    """A command that sends one page view."""
    return (
        f'curl -X POST {settings.PUBLIC_URL}/api/v1/track -H "Content-Type: application/json" '
        f'-d \'{{"site": "{site.public_id}", "page_url": "/hello"}}\''
    )


def _snippet(site: Site, script: str, integrity: str = "") -> str:
    query = urlencode({"site": site.public_id})
    context = {
        "script": script,
        "integrity": integrity,
        "site": site.public_id,
        "pixel": f"{settings.PUBLIC_URL}/api/v1/track.gif?{query}",
    }
    return render_to_string("snippet.html", context).strip()


def _address(name: str) -> str:
    return f"{settings.PUBLIC_URL}/js/{name}"


def _script(name: str) -> TrackerScript:
    return tracker_script(name, settings.DUPLICATE_WINDOW_MINUTES)
