"""What the same server can do without us: the least latency and the most throughput to be had in Python."""
