"""What knows nothing of the bus: text, event loops, forks, bounded tables."""
