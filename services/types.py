"""The types and bounds that the three contracts share. This module needs nothing of any service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_ID_LENGTH = 64
"""Characters of a SKU or an identifier: any product code or UUID fits, and it fits into one column of the database."""
MAX_UNITS = 10_000_000
"""Units of one SKU on one line: more than any warehouse holds, and the sum of 1,000 lines still fits 64 bits."""
MAX_LINES = 1000
"""Lines, prices or SKUs in one request: with SKUs of usual length they fit into one message of the default size."""
MAX_UNIT_PRICE = 1_000_000
"""The highest price of one piece, in whole units of the currency."""
PRICE_PLACES = 4
"""Decimal places of a price: a piece may cost a part of a cent. An amount of money has two places."""
PRINTABLE = r"^[^\x00-\x1f\x7f]*(?![\s\S])"
"""A regular expression for text without control characters. It does not end with "$", which would let a last newline
pass."""

Sku = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH, pattern=PRINTABLE)]
"""The code of a product."""
Units = Annotated[int, Meta(gt=0, le=MAX_UNITS)]
"""How many pieces of one SKU."""
Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH, pattern=PRINTABLE)]
"""The ID that the caller gives to an order, a payment, a return or a credit; a request is carried out once per ID."""
After = Annotated[str, Meta(max_length=MAX_ID_LENGTH, pattern=PRINTABLE)]
"""The SKU after which a page begins; "" for the first page."""
