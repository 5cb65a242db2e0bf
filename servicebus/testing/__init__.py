"""Tools for tests of services. The bus does not import them, and this package imports none of them by itself.

- ``plugin``: fixtures for pytest.
- ``faulty_bus``, ``faulty_channel_layer`` and ``fault_plan``: transports that drop, delay, duplicate and refuse.
- ``servers``: real servers that a test starts, kills, pauses and restarts.
- ``proxy``: connections that are slow, silent or cut.
- ``history`` and ``checker``: what happened, and which promise of the bus it breaks.
- ``harness`` and ``channels``: former names of the faulty transports.
"""
