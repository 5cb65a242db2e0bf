"""The least that a Channels site needs."""

from __future__ import annotations

import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["daphne", "channels"]
ASGI_APPLICATION = "tests.support.channels_site.asgi.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "servicebus.layers.redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["SITE_REDIS"]]},
    }
}
