"""Frames on their way from the server: one blocking reader for each channel."""
