"""What ``runworker`` runs: a service on its two channels."""

from __future__ import annotations

from typing import Any

import django


def _application() -> Any:
    django.setup()
    from channels.routing import ChannelNameRouter, ProtocolTypeRouter

    from servicebus.contrib.asgi import as_asgi

    from .ledger import service

    ledger = as_asgi(service)
    return ProtocolTypeRouter(
        {"channel": ChannelNameRouter({"ledger.request": ledger, "ledger.events": ledger})},
    )


application = _application()
