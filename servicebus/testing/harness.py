"""The former names of ``servicebus.testing.faulty_bus``, for tests that still use them.

New tests use ``FaultyBus`` with ``faults`` and ``FaultPlan.clear``.
"""

from __future__ import annotations

from typing import Any

from .fault_plan import FaultPlan
from .faulty_bus import FaultyBus

__all__ = ["HarnessBus", "Mischief"]


class Mischief(FaultPlan):
    """The former name of ``FaultPlan``."""

    def cease(self) -> None:
        """Remove all rules: the former name of ``clear``."""
        self.clear()


class HarnessBus(FaultyBus):
    """The former name of ``FaultyBus``, with the former name ``mischief`` of its plan.

    Args:
        url: as for ``ServiceBus``.
        mischief: the plan.
        options: as for ``ServiceBus``.
    """

    def __init__(self, url: str | None = None, *, mischief: Mischief | None = None, **options: Any) -> None:
        self.mischief = mischief or Mischief()
        super().__init__(url, faults=self.mischief, **options)
