"""What a site's owner pastes, or types, to send page views."""

from django.conf import settings
from django.template.loader import render_to_string

from ingest.models import Site


def snippet_of(site: Site) -> str:
    """HTML that sends a page view of the page it is on."""
    context = {"url": settings.PUBLIC_URL, "site": site.public_id}
    return render_to_string("snippet.html", context).strip()


def request_of(site: Site) -> str:
    """A command that sends one page view."""
    return (
        f'curl -X POST {settings.PUBLIC_URL}/api/v1/track -H "Content-Type: application/json" '
        f'-d \'{{"site": "{site.public_id}", "page_url": "/hello"}}\''
    )
