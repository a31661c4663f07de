from typing import Any

from django.urls import path

from dashboard.consumers import LiveConsumer

_live: Any = LiveConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/live/<str:site>", _live)]
