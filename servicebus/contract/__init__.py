"""What both sides of a call agree on: names, requests, replies and errors. What exports them is in ``contrib``."""
