"""The transports: what moves frames from a sender to a consumer."""
