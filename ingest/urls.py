from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from ingest.views import TrackBatchView, TrackView

urlpatterns = [
    path("api/v1/track", TrackView.as_view(), name="track"),
    path("api/v1/track/batch", TrackBatchView.as_view(), name="track-batch"),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
