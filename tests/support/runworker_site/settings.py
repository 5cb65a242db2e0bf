"""A site whose services run under ``manage.py runworker``."""

from __future__ import annotations

import os

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "tests.support.runworker_site.asgi.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ["SITE_BACKEND"],
        "CONFIG": {"hosts": [{"address": os.environ["SITE_REDIS"], "socket_timeout": None}]},
    }
}
