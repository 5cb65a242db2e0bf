"""The orders file: the UCI Online Retail format, read strictly and whole before anything is placed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

from services.types import MAX_ID_LENGTH, MAX_UNIT_PRICE, MAX_UNITS, PRICE_PLACES

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
MAX_DIGITS = 25
"""Characters of a number: longer ones are refused before they are converted, which takes time for a huge one."""
_SHOWN_CHARACTERS = 40
"""Characters of a wrong field that an error shows: enough to find the field, and one line on a terminal."""

_NEWLINE = re.compile(r"\r\n|\r|\n")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?(?P<places>[0-9]*)|\.(?P<only_places>[0-9]+))")


class OrderLine(Struct, frozen=True):
    """One line of an invoice as the file has it. Quantity and price may be zero or negative."""

    sku: str
    quantity: int
    unit_price: Decimal


class Invoice(Struct, frozen=True):
    """All lines of one invoice number in file order. ``customer`` is the customer of the first line, "" if unknown."""

    number: str
    customer: str
    lines: tuple[OrderLine, ...]


class OrdersFileError(Exception):
    """The orders file cannot be used.

    ``line`` is the physical line, from 1; 0 if the error concerns the whole file.
    """

    def __init__(self, path: str, line: int, field: str, reason: str) -> None:
        super().__init__(path, line, field, reason)
        self.path, self.line, self.field, self.reason = path, line, field, reason

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.line else self.path
        return f"{where}: {self.field} {self.reason}" if self.field else f"{where}: {self.reason}"


class _Row(Struct, frozen=True):
    path: str
    line: int
    fields: list[str]

    def field(self, name: str) -> str:
        return self.fields[HEADER.index(name)]

    def error(self, name: str, reason: str) -> OrdersFileError:
        """An error at the field itself: fields before it may have spread the row over several lines."""
        before = self.fields[: HEADER.index(name)]
        line = self.line + sum(len(_NEWLINE.findall(field)) for field in before)
        return OrdersFileError(self.path, line, name, reason)


def read_orders(path: str | Path) -> tuple[Invoice, ...]:
    """Return all invoices, in the order in which they first appear.

    Raises:
        OrdersFileError: for the first fault in the file.
    """
    name = str(path)
    rows = _rows(name, _text(name))
    _check_header(next(rows, _Row(name, 1, [])))
    return _invoices(_checked(row) for row in rows)


def _text(path: str) -> str:
    try:
        raw = Path(path).read_bytes()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise OrdersFileError(path, 0, "", f"cannot be read: {reason}") from exc
    if not raw.strip():
        raise OrdersFileError(path, 0, "", "the file is empty")
    text = _decoded(path, raw)
    if (at := text.find("\0")) >= 0:
        raise OrdersFileError(path, _line_of(text[:at]), "", "holds a NUL byte: this is not a text file")
    return text


def _decoded(path: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = bytes(exc.object[: exc.start]).decode("latin-1")
        bad = exc.object[exc.start]
        raise OrdersFileError(path, _line_of(before), "", f"byte 0x{bad:02x} is not UTF-8 text") from exc


def _line_of(before: str) -> int:
    return 1 + len(_NEWLINE.findall(before))


def _rows(path: str, text: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise OrdersFileError(path, line, "", f"not valid CSV ({exc})") from exc
        if fields:
            yield _Row(path, line, fields)


def _check_header(row: _Row) -> None:
    if tuple(row.fields) == HEADER:
        return
    missing = [name for name in HEADER if name not in row.fields]
    unknown = [_shown(name) for name in row.fields if name not in HEADER]
    if missing:
        fault = f"the header has no {', '.join(missing)}"
    elif unknown:
        fault = f"the header has an unknown column {unknown[0]}"
    else:
        fault = "the header has its columns in another order, or twice"
    raise OrdersFileError(row.path, row.line, "", f"{fault}; expected {','.join(HEADER)}")


def _checked(row: _Row) -> tuple[str, str, OrderLine]:
    if len(row.fields) != len(HEADER):
        raise OrdersFileError(row.path, row.line, "", f"the row has {len(row.fields)} columns, not {len(HEADER)}")
    line = OrderLine(row.field("StockCode"), _quantity(row), _unit_price(row))
    return _invoice_number(row), row.field("CustomerID"), line


def _invoice_number(row: _Row) -> str:
    number = row.field("InvoiceNo")
    if not number:
        raise row.error("InvoiceNo", "is empty")
    if len(number) > MAX_ID_LENGTH:
        raise row.error("InvoiceNo", f"{_shown(number)} is longer than {MAX_ID_LENGTH} characters")
    return number


def _quantity(row: _Row) -> int:
    text = row.field("Quantity").strip()
    if not _WHOLE.fullmatch(text):
        raise row.error("Quantity", f"{_shown(text)} is not a whole number")
    if len(text) > MAX_DIGITS or abs(int(text)) > MAX_UNITS:
        raise row.error("Quantity", f"{_shown(text)} is beyond {MAX_UNITS:,}")
    return int(text)


def _unit_price(row: _Row) -> Decimal:
    text = row.field("UnitPrice").strip()
    found = _DECIMAL.fullmatch(text)
    if not found:
        raise row.error("UnitPrice", f"{_shown(text)} is not a decimal number")
    if len(text) > MAX_DIGITS or abs(Decimal(text)) > MAX_UNIT_PRICE:
        raise row.error("UnitPrice", f"{_shown(text)} is beyond {MAX_UNIT_PRICE:,}")
    if len((found["places"] or found["only_places"] or "").rstrip("0")) > PRICE_PLACES:
        raise row.error("UnitPrice", f"{_shown(text)} has more than {PRICE_PLACES} decimal places")
    return Decimal(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "...")


def _invoices(lines: Iterable[tuple[str, str, OrderLine]]) -> tuple[Invoice, ...]:
    found: dict[str, tuple[str, list[OrderLine]]] = {}
    for number, customer, line in lines:
        found.setdefault(number, (customer, []))[1].append(line)
    return tuple(Invoice(number, customer, tuple(rest)) for number, (customer, rest) in found.items())
