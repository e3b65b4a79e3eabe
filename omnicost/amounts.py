"""Amounts as people write them on a command line: hours, days, money, shares, dates."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from omnicost.errors import InputError

HOURS_A_DAY: Final = 8.0
_AMOUNT: Final = re.compile(
    r"(?P<sign>[$€£¥₹]?)\s*(?P<number>\d[\d_,]*(\.\d+)?|\.\d+)\s*(?P<unit>\S*)"
)
_THOUSANDS: Final = re.compile(r"\d{1,3}([,_]\d{3})+(\.\d+)?|\d*(\.\d+)?")
_HOURS: Final = frozenset({"h", "hr", "hrs", "hour", "hours"})
_DAYS: Final = frozenset({"d", "day", "days"})
_SIGNS: Final = {"$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "₹": "inr"}
_OTHER_TIMES: Final = frozenset({"s", "sec", "min", "mins", "minute", "minutes", "w", "week",
                                 "weeks", "month", "months", "year", "years"})  # fmt: skip


def read_currency(text: str) -> str:
    """A currency's code or sign, as it is to be shown.

    Raises:
        InputError: if it is neither.
    """
    if not re.fullmatch(r"[^\W\d_]{1,8}|[$€£¥₹]", text.strip()):
        raise InputError("`currency`", f"{text!r} is no currency", "write usd, eur or a sign")
    return text.strip()


def read_hours(text: str, where: str, hours_a_day: float = HOURS_A_DAY) -> float:
    """Hours of text such as ``500h``, ``12.5 hours`` or ``3days``.

    Raises:
        InputError: naming `where` on anything else.
    """
    number, unit = _split(text, where)
    if unit in _HOURS:
        return number
    if unit in _DAYS:
        return number * hours_a_day
    problem = f"is in {unit}" if unit in _OTHER_TIMES else "is no time"
    raise InputError(where, f"{text!r} {problem}", "write it in hours (500h) or days (3days)")


def read_budget(
    text: str, wage: float | None, currency: str = "usd", hours_a_day: float = HOURS_A_DAY
) -> float:
    """Hours of a budget: ``500h``, ``3days``, or ``12000usd`` at a wage in that currency.

    Raises:
        InputError: on anything else, and on money without a wage or in another currency.
    """
    number, unit = _split(text, "`budget`")
    if unit in _HOURS | _DAYS | _OTHER_TIMES:
        return read_hours(text, "`budget`", hours_a_day)
    if not unit:
        remedy = f"write {text.strip()}h, or {text.strip()}{currency}"
        raise InputError("`budget`", f"{text!r} has no unit", remedy)
    if unit == "%":
        remedy = "give hours or money; a share of full supervision is a `target`"
        raise InputError("`budget`", f"{text!r} is a share", remedy)
    own = _SIGNS.get(currency, currency).lower()
    if _SIGNS.get(unit, unit) != own:
        remedy = f"write hours, or {own}; `currency` says in what the wage is"
        raise InputError("`budget`", f"{text!r} is neither hours nor {own}", remedy)
    if not wage:
        raise InputError("`budget`", f"{text!r} is money", "give `wage`, the pay of one hour")
    return number / wage


def _split(text: str, where: str) -> tuple[float, str]:
    """Number and unit, the unit in lower case."""
    found = _AMOUNT.fullmatch(text.strip())
    number = found["number"] if found else ""
    if found is None or not _THOUSANDS.fullmatch(number) or (found["sign"] and found["unit"]):
        raise InputError(where, f"{text!r} is no amount", "write 500h, 3days or 12000usd")
    return float(number.replace(",", "").replace("_", "")), (found["unit"] or found["sign"]).lower()


def read_share(text: str, where: str = "`target`") -> float:
    """A share such as ``95%`` or ``0.95``.

    Raises:
        InputError: if it is neither.
    """
    number = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", number):
        raise InputError(where, f"{text!r} is no share", "write 95%")
    if text.strip().endswith("%"):
        return float(number) / 100
    if float(number) > 1:
        raise InputError(where, f"{text!r} is over 1", f"write {number}%")
    return float(number)


def read_date(text: str | None, where: str) -> date | None:
    """A day such as ``2026-12-01``.

    Raises:
        InputError: if it is none.
    """
    try:
        return None if text is None else date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(where, f"{text!r} is no day", "write 2026-12-01") from None
