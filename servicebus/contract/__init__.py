"""What both sides of a call agree on: names, requests, replies and errors."""
