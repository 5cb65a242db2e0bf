"""What daphne serves: ``/rooms/<room>``."""

from __future__ import annotations

from typing import Any

import django


def _application() -> Any:
    django.setup()
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path

    from .consumers import Chat

    return ProtocolTypeRouter({"websocket": URLRouter([path("rooms/<slug:room>", Chat.as_asgi())])})


application = _application()
