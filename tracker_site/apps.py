from django.apps import AppConfig


class TrackerSiteConfig(AppConfig):
    name = "tracker_site"

    def ready(self) -> None:
        from tracker_site import checks  # noqa: F401  registers them
