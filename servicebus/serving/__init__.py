"""The service's half of the bus: from a frame to a handler to a reply."""
