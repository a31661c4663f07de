from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from ingest.doors import views as doors
from ingest.script_views import script
from ingest.tracker_script import NAMES
from ingest.views import ImportView, PixelView, TrackBatchView, TrackView

urlpatterns = [
    path("api/v1/track", TrackView.as_view(), name="track"),
    path("api/v1/track/batch", TrackBatchView.as_view(), name="track-batch"),
    path("api/v1/import", ImportView.as_view(), name="import"),
    path("api/v1/track.gif", PixelView.as_view(), name="pixel"),
    *(path(f"js/{name}", script, {"name": name}, name=name) for name in NAMES),
    *doors.urlpatterns,
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
