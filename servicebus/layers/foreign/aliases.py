"""From the alias in a ``django://`` URL to the layer behind it, fit to be used by the bus."""

from __future__ import annotations

from typing import Any

from ...errors import ConfigurationError


def channel_layer(alias: str) -> Any:
    """Return the layer of ``CHANNEL_LAYERS[alias]``, where "" stands for "default".

    Raises:
        ConfigurationError: the settings do not make such a layer, or calls would run twice on it. It names the fix.
    """
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
    """Return ``found``, set up so that the bus can use it.

    Raises:
        ConfigurationError: the layer gives each message to every worker, so that calls would run more than once.
    """
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
    """Let a receive on channels_redis wait without a timeout of the socket.

    redis-py 8 and later waits 5 s for an answer. An idle receive of this layer takes as long, and would fail each time.
    The layer makes its connections of ``hosts`` on first use. A ``socket_timeout`` in the settings stays.
    """
    for host in layer.hosts:
        host.setdefault("socket_timeout", None)
