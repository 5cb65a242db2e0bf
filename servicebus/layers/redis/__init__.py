"""The Redis and Valkey layer: hiredis on an asyncio Protocol, one pipelined connection, one reader a channel."""
