"""Tools for tests of services. Nothing here is imported by the bus itself, and nothing by this package.

``servers``: real ones under control. ``proxy``: links that fail. ``history`` and ``checker``: what happened, and
whether it may. ``harness`` and ``channels``: transports that misbehave as ordered. ``plugin``: fixtures for pytest.
"""
