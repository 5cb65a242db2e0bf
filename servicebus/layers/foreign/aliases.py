"""From the alias in a ``django://`` URL to the layer behind it, fit to be used by the bus."""

from __future__ import annotations

from typing import Any

from ...errors import ConfigurationError


def channel_layer(alias: str) -> Any:
    """The layer of ``CHANNEL_LAYERS[alias]``, "default" for "". Raises ConfigurationError, which names the fix."""
    from channels.exceptions import InvalidChannelLayerError
    from channels.layers import channel_layers
    from django.core.exceptions import ImproperlyConfigured

    alias = alias or "default"
    try:
        found = channel_layers[alias]
    except (ImproperlyConfigured, ImportError) as error:
        raise ConfigurationError(
            f"django://{alias} needs Django settings with CHANNEL_LAYERS: name them in DJANGO_SETTINGS_MODULE ({error})"
        ) from error
    except KeyError as error:
        known = ", ".join(sorted(channel_layers.configs)) or "nothing"
        raise ConfigurationError(
            f"django://{alias}: CHANNEL_LAYERS of the Django settings has {known}; add {alias!r}"
        ) from error
    except (InvalidChannelLayerError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"django://{alias}: CHANNEL_LAYERS[{alias!r}] makes no layer; correct its BACKEND or CONFIG ({error})"
        ) from error
    return prepared(found)


def prepared(found: Any) -> Any:
    """``found`` as the bus can use it. Raises ConfigurationError for a layer on which calls would run twice."""
    from channels_redis.core import RedisChannelLayer
    from channels_redis.pubsub import RedisPubSubChannelLayer

    if isinstance(found, RedisPubSubChannelLayer):
        raise ConfigurationError(
            "RedisPubSubChannelLayer gives each message to every worker, so calls would run more than once: use "
            "servicebus.layers.redis.RedisChannelLayer or channels_redis.core.RedisChannelLayer"
        )
    if isinstance(found, RedisChannelLayer):
        _let_receives_idle(found)
    return found


def _let_receives_idle(layer: Any) -> None:
    """From version 8 on redis-py gives up an answer after 5 s, which is as long as this layer's idle pop takes.

    Pools are made of ``hosts`` on first use; what the settings say themselves stays.
    """
    for host in layer.hosts:
        host.setdefault("socket_timeout", None)
