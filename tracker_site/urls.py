from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from tracker_site import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("", include("ingest.urls")),
    path("", include("dashboard.urls")),
]
handler400 = "tracker_site.bad_request.bad_request"
