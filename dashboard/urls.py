from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from dashboard import views
from dashboard.scrape import MetricsView

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.sites, name="sites"),
    path("balance", views.balance, name="balance"),
    path("sites/<str:site>/", views.live, name="live"),
    path("wall/<str:site>", views.wall, name="wall"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path(
        "login",
        LoginView.as_view(template_name="login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout", LogoutView.as_view(), name="logout"),
    path("", include("dashboard.api_urls")),
]
