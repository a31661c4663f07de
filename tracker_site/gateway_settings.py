"""The settings of a gateway process: the same, without the parts of the product that it never
uses. They would take 80 MB and two seconds at each start."""

from tracker_site.settings import *  # noqa: F403

INSTALLED_APPS = ["ingest"]
