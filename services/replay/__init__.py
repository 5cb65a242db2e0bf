"""Replay of a day of retail orders through the three services."""
