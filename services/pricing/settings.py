"""Settings of pricing deployed alone. DATABASE_URL names its database, PAYMENT_PROVIDER the class that moves money."""

from __future__ import annotations

import os

from services.database import database

USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["services.pricing"]
DATABASES = {"default": database("DATABASE_URL", "sqlite:///pricing.sqlite3")}

PAYMENT_PROVIDER = os.environ.get("PAYMENT_PROVIDER", "services.pricing.provider.SandboxProvider")
