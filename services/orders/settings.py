"""Settings of orders deployed alone. DATABASE_URL names its database; durations are in seconds."""

from __future__ import annotations

from services.database import database
from services.environment import seconds

USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["services.orders"]
DATABASES = {"default": database("DATABASE_URL", "sqlite:///orders.sqlite3")}

ORDERS_CALL_TIMEOUT = seconds("ORDERS_CALL_TIMEOUT", 5.0)
ORDERS_STALE_AFTER = seconds("ORDERS_STALE_AFTER", 10.0)
ORDERS_GIVE_UP_AFTER = seconds("ORDERS_GIVE_UP_AFTER", 300.0)
