from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.orders_file import Invoice, OrderLine, OrdersFileError, read_orders

from ....support.replay.orders import HEADER, WriteOrders, full_row

GOOD = full_row("536365", "85123A", "6", "2.55")


def read(tmp_path: Path, content: str | bytes) -> tuple[Invoice, ...]:
    path = tmp_path / "orders.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_orders(path)


def fault(tmp_path: Path, content: str | bytes) -> OrdersFileError:
    with pytest.raises(OrdersFileError) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value)
    return raised.value


def test_lines_are_grouped_by_invoice_in_order_of_first_appearance(write_orders: WriteOrders) -> None:
    path = write_orders("2,A,1,1.10", "1,B,2,2.20", "2,C,-3,0")
    line = OrderLine
    assert read_orders(path) == (
        Invoice("2", "17850.0", (line("A", 1, Decimal("1.10")), line("C", -3, Decimal(0)))),
        Invoice("1", "17850.0", (line("B", 2, Decimal("2.20")),)),
    )


def test_a_byte_order_mark_crlf_blank_lines_and_no_last_newline_are_fine(tmp_path: Path) -> None:
    content = "\ufeff" + "\r\n".join([HEADER, "", GOOD, "", GOOD])
    (invoice,) = read(tmp_path, content)
    assert len(invoice.lines) == 2


def test_a_header_alone_is_a_day_without_orders(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER) == ()


def test_quotes_commas_and_line_breaks_in_a_description_are_text(tmp_path: Path) -> None:
    row = GOOD.replace("A THING", '"12"" RULER, LONG\nAND THIN"')
    (invoice,) = read(tmp_path, f"{HEADER}\n{row}\n")
    assert invoice.lines == (OrderLine("85123A", 6, Decimal("2.55")),)


@pytest.mark.parametrize("price", ["2.55", "2.5", "2", "2.", ".5", "0.0001", "-11062.06", "2.5000000", " 2.55 "])
def test_a_plain_decimal_is_a_price(tmp_path: Path, price: str) -> None:
    (invoice,) = read(tmp_path, f"{HEADER}\n{full_row('1', 'A', '1', price)}\n")
    assert invoice.lines[0].unit_price == Decimal(price.strip())


def test_the_error_carries_its_data_and_its_text_is_made_of_it(tmp_path: Path) -> None:
    rows = [GOOD] * 15 + [full_row("1", "A", "six", "1.00")]
    error = fault(tmp_path, "\n".join([HEADER, *rows]))
    path = str(tmp_path / "orders.csv")
    assert (error.path, error.line, error.field) == (path, 17, "Quantity")
    assert str(error) == f"{path}, line 17: Quantity 'six' is not a whole number"


@pytest.mark.parametrize(
    ("field", "quantity", "price", "reason"),
    [
        ("Quantity", "six", "1", "'six' is not a whole number"),
        ("Quantity", "", "1", "'' is not a whole number"),
        ("Quantity", "1.5", "1", "'1.5' is not a whole number"),
        ("Quantity", "1_000", "1", "'1_000' is not a whole number"),
        ("Quantity", "٣", "1", "'٣' is not a whole number"),
        ("Quantity", "NaN", "1", "'NaN' is not a whole number"),
        ("Quantity", "1e9", "1", "'1e9' is not a whole number"),
        ("Quantity", "10000001", "1", "'10000001' is beyond 10,000,000"),
        ("Quantity", "-10000001", "1", "'-10000001' is beyond 10,000,000"),
        ("Quantity", "9" * 5000, "1", "'" + "9" * 37 + "...' is beyond 10,000,000"),
        ("UnitPrice", "1", "two", "'two' is not a decimal number"),
        ("UnitPrice", "1", "", "'' is not a decimal number"),
        ("UnitPrice", "1", ".", "'.' is not a decimal number"),
        ("UnitPrice", "1", "£2.55", "'£2.55' is not a decimal number"),
        ("UnitPrice", "1", "NaN", "'NaN' is not a decimal number"),
        ("UnitPrice", "1", "-Infinity", "'-Infinity' is not a decimal number"),
        ("UnitPrice", "1", "1e400000", "'1e400000' is not a decimal number"),
        ("UnitPrice", "1", "1000000.01", "'1000000.01' is beyond 1,000,000"),
        ("UnitPrice", "1", "9" * 5000, "'" + "9" * 37 + "...' is beyond 1,000,000"),
        ("UnitPrice", "1", "0.00001", "'0.00001' has more than 4 decimal places"),
    ],
)
def test_a_bad_number_is_named_with_its_line(
    tmp_path: Path, field: str, quantity: str, price: str, reason: str
) -> None:
    error = fault(tmp_path, f"{HEADER}\n{GOOD}\n{full_row('1', 'A', quantity, price)}\n{GOOD}\n")
    assert (error.line, error.field, error.reason) == (3, field, reason)


@pytest.mark.parametrize(("number", "reason"), [("", "is empty"), ("7" * 65, "is longer than 64 characters")])
def test_an_invoice_number_that_cannot_be_an_order_id_is_named(tmp_path: Path, number: str, reason: str) -> None:
    error = fault(tmp_path, f"{HEADER}\n{full_row(number, 'A', '1', '1')}\n")
    assert (error.line, error.field) == (2, "InvoiceNo")
    assert error.reason.endswith(reason)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER.replace("StockCode,", ""), "the header has no StockCode;"),
        (HEADER.replace("InvoiceNo", "Invoice").replace(",Country", ""), "the header has no InvoiceNo, Country;"),
        (HEADER + ",Colour", "the header has an unknown column 'Colour';"),
        (HEADER + ",Country", "the header has its columns in another order, or twice;"),
        ("StockCode,InvoiceNo" + HEADER[19:], "the header has its columns in another order, or twice;"),
        (GOOD, "the header has no InvoiceNo, StockCode, Description,"),
        ("\n", "the header has no InvoiceNo, StockCode, Description,"),
    ],
)
def test_a_wrong_header_says_what_is_expected(tmp_path: Path, header: str, reason: str) -> None:
    error = fault(tmp_path, f"{header}\n{GOOD}\n")
    assert error.reason.startswith(reason)
    assert error.reason.endswith(f"expected {HEADER}")


@pytest.mark.parametrize(
    ("rows", "line", "reason"),
    [
        ([GOOD, GOOD + ",more"], 3, "the row has 9 columns, not 8"),
        ([GOOD, GOOD, "536365,85123A"], 4, "the row has 2 columns, not 8"),
        ([GOOD, " "], 3, "the row has 1 columns, not 8"),
        ([GOOD, GOOD.replace("A THING", '"A THING'), GOOD], 3, "not valid CSV (unexpected end of data)"),
        ([GOOD, GOOD.replace("A THING", '"A" THING')], 3, "not valid CSV (',' expected after '\"')"),
        ([GOOD, GOOD.replace("A THING", "A" * 200_000)], 3, "not valid CSV (field larger than field limit (131072))"),
        ([GOOD, GOOD.replace("A THING", "A\0THING")], 3, "holds a NUL byte: this is not a text file"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path: Path, rows: list[str], line: int, reason: str) -> None:
    error = fault(tmp_path, "\n".join([HEADER, *rows]) + "\n")
    assert (error.line, error.reason) == (line, reason)


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    content = "\r\n".join([HEADER, GOOD, GOOD.replace("A THING", "CAFÉ"), GOOD])
    error = fault(tmp_path, content.encode("latin-1"))
    assert (error.line, error.reason) == (3, "byte 0xc9 is not UTF-8 text")
    assert fault(tmp_path, content.encode("utf-16")).line == 1


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    spread = GOOD.replace("A THING", '"A\nTALL\r\nTHING"')
    assert fault(tmp_path, "\n".join([HEADER, spread, full_row("1", "A", "six", "1")])).line == 5
    assert fault(tmp_path, "\n".join([HEADER, spread.replace(",6,", ",six,"), GOOD])).line == 4
    separated = GOOD.replace("A THING", "A\u2028B\x0cC\x1cD\x85E")
    assert fault(tmp_path, "\n".join([HEADER, separated, full_row("1", "A", "six", "1")])).line == 3


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OrdersFileError, match=r"nowhere\.csv: cannot be read: No such file or directory$"):
        read_orders(tmp_path / "nowhere.csv")
    with pytest.raises(OrdersFileError, match=r": cannot be read: Is a directory$"):
        read_orders(tmp_path)
    with pytest.raises(OrdersFileError, match=r": cannot be read: "):
        read_orders("orders\0.csv")


@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert fault(tmp_path, content).reason == "the file is empty"


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"{HEADER}\n{text}".encode()))
def test_any_bytes_are_orders_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with contextlib.suppress(OrdersFileError):
        assert all(invoice.lines for invoice in read_orders(path))


def test_the_real_days_are_read_whole(real_day: Path) -> None:
    lines = sum(len(invoice.lines) for invoice in read_orders(real_day))
    assert lines == real_day.read_text().count("\n") - 1
