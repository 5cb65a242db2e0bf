"""Small tools that know nothing of the bus: text, event loops, tasks, forks, bounded tables."""
