"""Library mode: the three services in one process, each with its own database.

INVENTORY_DATABASE_URL, PRICING_DATABASE_URL and ORDERS_DATABASE_URL name the databases, by default SQLite files.
"""

from __future__ import annotations

import os

from services.database import database
from services.environment import seconds

USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["services.inventory", "services.pricing", "services.orders"]
DATABASES = {
    "default": {},
    "inventory": database("INVENTORY_DATABASE_URL", "sqlite:///inventory.sqlite3"),
    "pricing": database("PRICING_DATABASE_URL", "sqlite:///pricing.sqlite3"),
    "orders": database("ORDERS_DATABASE_URL", "sqlite:///orders.sqlite3"),
}
DATABASE_ROUTERS = ["services.database.LabelRouter"]

PAYMENT_PROVIDER = os.environ.get("PAYMENT_PROVIDER", "services.pricing.provider.SandboxProvider")
ORDERS_CALL_TIMEOUT = seconds("ORDERS_CALL_TIMEOUT", 5.0)
ORDERS_STALE_AFTER = seconds("ORDERS_STALE_AFTER", 10.0)
ORDERS_GIVE_UP_AFTER = seconds("ORDERS_GIVE_UP_AFTER", 300.0)
