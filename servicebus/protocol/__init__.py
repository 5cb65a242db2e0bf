"""The sans-I/O core: bytes and instants in, decisions and bytes out. No await, clock, randomness or redis."""
