"""The bus on a Channels layer that somebody else wrote: ``django://alias``. A broker gets a folder beside this one.

Delivery guarantee: the guarantee of that layer. With channels' InMemoryChannelLayer at most once; with channels_redis a
message may be lost, or come twice when several workers share a channel. Nothing here sends a message a second time.
"""

from .aliases import channel_layer
from .layer import ForeignLayer
from .timing import ForeignTiming

__all__ = ["ForeignLayer", "ForeignTiming", "channel_layer"]
