"""What daphne serves: ``/rooms/<room>``."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.channels.site.settings")

import django

django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from .consumers import Chat

application = ProtocolTypeRouter({"websocket": URLRouter([path("rooms/<slug:room>", Chat.as_asgi())])})
