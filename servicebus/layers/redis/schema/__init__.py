"""What the Redis layer keeps on the server: keys and Lua scripts."""
