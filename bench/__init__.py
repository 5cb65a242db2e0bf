"""The benchmark runner: ``python -m bench SCENARIO``."""
