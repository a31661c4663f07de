"""The settings of processes that serve no pages: gateway, consumer, worker, beat. The same,
without the parts of the product that they never use: those would take 60 to 90 MB and half
of the time of each start."""

from tracker_site.settings import *  # noqa: F403

INSTALLED_APPS = ["ingest", "processing"]
# Checks of URLs would import every view.
ROOT_URLCONF = ""
