"""Settings of inventory deployed alone. DATABASE_URL names its database."""

from __future__ import annotations

from services.database import database

USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["services.inventory"]
DATABASES = {"default": database("DATABASE_URL", "sqlite:///inventory.sqlite3")}
