"""The caller's half of the bus: calls, one-way messages, events and their deadlines."""
