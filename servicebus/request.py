"""The documented import path of the typed requests; they live in ``servicebus.contract.request``."""

from .contract.request import Request, idempotency_of, operation_of

__all__ = ["Request", "idempotency_of", "operation_of"]
