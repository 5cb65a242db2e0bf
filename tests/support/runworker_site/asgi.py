"""What ``runworker`` runs: a service on its two channels."""

from __future__ import annotations

from typing import Any

import django


def _application() -> Any:
    django.setup()
    from channels.routing import ChannelNameRouter, ProtocolTypeRouter

    from .ledger import service

    return ProtocolTypeRouter(
        {"channel": ChannelNameRouter({"ledger.request": service, "ledger.events": service})},
    )


application = _application()
