"""Floors: the lowest latency and the highest throughput that Python can have from the same server without a bus."""
