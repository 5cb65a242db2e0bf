from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext, override_settings

from services.database import alias
from services.pricing import handlers
from services.pricing.contract import (
    Charge,
    Credit,
    CreditReturn,
    GetCatalogue,
    GetLedger,
    InvalidAmount,
    InvalidPrice,
    Line,
    Payment,
    PaymentClosed,
    PaymentDeclined,
    Price,
    Quotation,
    Quote,
    QuotedLine,
    Refund,
    SetPrices,
    UnknownSku,
)
from services.pricing.models import Payment as Row
from services.pricing.provider import PaymentProvider, SandboxProvider, provider

from ...support.services.bank import Bank, LineCut


@pytest.fixture
def bank() -> Iterator[Bank]:
    with override_settings(PAYMENT_PROVIDER="tests.support.services.bank.Bank"):
        found = provider()
        assert isinstance(found, Bank)
        found.reset()
        yield found


def set_prices(**prices: str) -> None:
    rows = [Price(sku, Decimal(price)) for sku, price in prices.items()]
    assert handlers.set_prices(SetPrices(prices=rows)).count == len(rows)


def quote(*lines: tuple[str, int]) -> Quotation:
    return handlers.quote(Quote(lines=[Line(sku, quantity) for sku, quantity in lines]))


def total(*lines: tuple[str, int]) -> Quotation:
    return handlers.quote(Quote(lines=[Line(sku, quantity) for sku, quantity in lines], itemized=False))


def charge(amount: str = "9.99", payment_id: str = "p-1") -> Payment:
    return handlers.charge(Charge(payment_id=payment_id, amount=Decimal(amount)))


def refund(payment_id: str = "p-1") -> Payment:
    return handlers.refund(Refund(payment_id=payment_id))


def books() -> tuple[str, str, str]:
    found = handlers.ledger(GetLedger())
    return str(found.charged), str(found.refunded), str(found.credited)


def test_prices_are_created_and_replaced(db: str) -> None:
    set_prices(A="2.55", B="3.39")
    set_prices(B="4", C="0.001")
    page = handlers.catalogue(GetCatalogue())
    assert [(price.sku, str(price.unit_price)) for price in page.prices] == [
        ("A", "2.55"),
        ("B", "4.00"),
        ("C", "0.0010"),
    ]


def test_the_catalogue_is_read_page_by_page(db: str) -> None:
    set_prices(A="1", B="2", C="3")
    first = handlers.catalogue(GetCatalogue(limit=2))
    assert ([price.sku for price in first.prices], first.next_after) == (["A", "B"], "B")
    last = handlers.catalogue(GetCatalogue(limit=2, after="B"))
    assert ([price.sku for price in last.prices], last.next_after) == (["C"], "")


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "1E+999999", "0.00001"])
def test_one_bad_price_refuses_them_all(sqlite: None, price: str) -> None:
    with pytest.raises(InvalidPrice) as refusal:
        set_prices(A="1", B=price)
    assert refusal.value.sku == "B"
    assert handlers.catalogue(GetCatalogue()).prices == []


def test_lines_are_quoted_in_their_order_and_added_up(db: str) -> None:
    set_prices(A="2.55", B="0.001")
    quotation = quote(("B", 6), ("A", 2), ("B", 4))
    assert quotation.lines == [
        QuotedLine("B", 6, Decimal("0.001"), Decimal("0.01")),
        QuotedLine("A", 2, Decimal("2.55"), Decimal("5.10")),
        QuotedLine("B", 4, Decimal("0.001"), Decimal("0.00")),
    ]
    assert str(quotation.total) == "5.11"


def test_an_unknown_sku_is_not_quoted(db: str) -> None:
    set_prices(A="1")
    with pytest.raises(UnknownSku) as refusal:
        quote(("A", 1), ("Y", 1), ("X", 1))
    assert refusal.value.sku == "Y"


def test_721_lines_are_quoted_with_one_query(db: str) -> None:
    set_prices(**{f"S{number}": "1.25" for number in range(721)})
    with CaptureQueriesContext(connections[alias(Row)]) as queries:
        assert quote(*((f"S{number}", 2) for number in range(721))).total == Decimal("1802.50")
    assert len(queries) == 1


def test_a_payment_is_charged_once(db: str, bank: Bank) -> None:
    assert charge("9.99") == Payment("p-1", "charged", Decimal("9.99"), Decimal("0.00"))
    assert charge("9.99") == charge("5.00") == Payment("p-1", "charged", Decimal("9.99"), Decimal("0.00"))
    assert bank.taken == {"p-1": Decimal("9.99")}
    assert books() == ("9.99", "0.00", "0.00")


def test_a_charge_is_given_back_whole_and_once(db: str, bank: Bank) -> None:
    charge("9.99")
    assert refund() == refund() == Payment("p-1", "refunded", Decimal("9.99"), Decimal("9.99"))
    assert bank.given_back == {"p-1": Decimal("9.99")}
    assert books() == ("9.99", "9.99", "0.00")
    with pytest.raises(PaymentClosed):
        charge("9.99")


def test_a_charge_that_comes_after_its_refund_is_refused(db: str, bank: Bank) -> None:
    assert refund() == refund() == Payment("p-1", "voided", Decimal("0.00"), Decimal("0.00"))
    with pytest.raises(PaymentClosed):
        charge()
    assert bank.taken == {}
    assert books() == ("0.00", "0.00", "0.00")


def test_a_declined_payment_stays_declined_until_it_is_voided(db: str, bank: Bank) -> None:
    bank.declines = "no_funds"
    for _ in range(2):
        with pytest.raises(PaymentDeclined, match="no_funds"):
            charge()
    assert len(bank.asked) == 1
    assert refund() == Payment("p-1", "voided", Decimal("0.00"), Decimal("0.00"))
    with pytest.raises(PaymentClosed):
        charge()


def test_nothing_is_charged_without_asking_the_bank(sqlite: None, bank: Bank) -> None:
    assert charge("0.00").status == "charged"
    assert refund() == Payment("p-1", "refunded", Decimal("0.00"), Decimal("0.00"))
    assert bank.asked == []


@pytest.mark.parametrize("amount", ["-0.01", "0.001", "NaN", "Infinity", "1E+999999", "10000000000000000.01"])
def test_an_amount_that_is_none_is_refused(sqlite: None, amount: str) -> None:
    with pytest.raises(InvalidAmount):
        charge(amount)
    assert not Row.objects.exists()


@pytest.mark.parametrize("moved", [False, True])
def test_a_crash_while_the_bank_charges_is_safe(db: str, bank: Bank, moved: bool) -> None:
    """The bank took the money, or not, and we died before its answer: asking again settles it, once."""
    bank.cut = "after" if moved else "before"
    with pytest.raises(LineCut):
        charge("9.99")
    assert Row.objects.get().status == "charging"
    assert books() == ("0.00", "0.00", "0.00")
    assert charge("9.99").status == "charged"
    assert bank.taken == {"p-1": Decimal("9.99")}
    assert books() == ("9.99", "0.00", "0.00")


@pytest.mark.parametrize("moved", [False, True])
def test_a_crash_while_the_bank_charges_can_be_undone(db: str, bank: Bank, moved: bool) -> None:
    bank.cut = "after" if moved else "before"
    with pytest.raises(LineCut):
        charge("9.99")
    assert refund().status == "refunded"
    assert bank.taken == bank.given_back == {"p-1": Decimal("9.99")}


@pytest.mark.parametrize("moved", [False, True])
def test_a_crash_while_the_bank_refunds_is_safe(db: str, bank: Bank, moved: bool) -> None:
    charge("9.99")
    bank.cut = "after" if moved else "before"
    with pytest.raises(LineCut):
        refund()
    assert books() == ("9.99", "0.00", "0.00")
    with pytest.raises(PaymentClosed):
        charge("9.99")
    assert refund().status == "refunded"
    assert bank.given_back == {"p-1": Decimal("9.99")}


def test_a_refund_while_the_bank_charges_wins(db: str, bank: Bank) -> None:
    bank.meanwhile = refund
    with pytest.raises(PaymentClosed):
        charge("9.99")
    assert refund().status == "refunded"
    assert bank.taken == bank.given_back == {"p-1": Decimal("9.99")}
    assert books() == ("9.99", "9.99", "0.00")


def test_charges_and_refunds_that_race_leave_no_money_behind(db: str, bank: Bank) -> None:
    def race(number: int) -> str:
        try:
            payment_id = f"p-{number // 4}"
            return (refund(payment_id) if number % 4 == 3 else charge("1.00", payment_id)).status
        except PaymentClosed as refusal:
            return refusal.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(race, range(32))) <= {"charged", "refunded", "voided", "payment_closed"}
    assert bank.taken == bank.given_back
    charged, refunded, _ = books()
    assert charged == refunded == f"{len(bank.taken)}.00"


def test_returned_goods_are_credited_once_at_the_price_of_that_day(db: str) -> None:
    set_prices(A="2.55")
    request = CreditReturn(credit_id="c-1", lines=[Line("A", 2)])
    assert handlers.credit_return(request) == Credit("c-1", Decimal("5.10"))
    set_prices(A="9.00")
    assert handlers.credit_return(request) == Credit("c-1", Decimal("5.10"))
    with pytest.raises(UnknownSku):
        handlers.credit_return(CreditReturn(credit_id="c-2", lines=[Line("X", 1)]))
    assert books() == ("0.00", "0.00", "5.10")


def test_the_books_are_exact(db: str, bank: Bank) -> None:
    for number in range(100):
        charge("0.10", f"p-{number}")
    charge("90071992547409.93", "p-large")
    assert books() == ("90071992547419.93", "0.00", "0.00")


def test_the_sandbox_declines_what_is_over_its_limit(sqlite: None) -> None:
    sandbox: PaymentProvider = provider()
    assert isinstance(sandbox, SandboxProvider)
    assert charge("1000000.00").status == "charged"
    with pytest.raises(PaymentDeclined, match="over_limit"):
        charge("1000000.01", "p-2")
