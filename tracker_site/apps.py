from django.apps import AppConfig


class TrackerSiteConfig(AppConfig):
    name = "tracker_site"
