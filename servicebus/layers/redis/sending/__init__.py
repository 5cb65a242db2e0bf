"""Frames on their way to the server: batches, commands, and what the answers mean."""
