"""Numbers as people read them. What is not known has no number: the page says why instead."""

import math

MINUS = "\N{MINUS SIGN}"


def number(value: float, unit: str) -> str:
    """Write a share in percent, or an amount, with three digits that matter.

    >>> number(0.1234, "share"), number(0.00042, "share"), number(0.0, "share"), number(12.5, "amount")
    ('12.3 %', '0.042 %', '0 %', '12.5')
    >>> number(-0.5, "amount"), number(1234567.0, "amount"), number(1.0, "share")
    ('-0.5', '1,234,567', '100 %')
    """
    shown = 100 * value if unit == "share" else value
    return f"{_digits(shown)} %" if unit == "share" else _digits(shown)


def signed(value: float, unit: str, language: str = "en") -> str:
    """Write a difference with its sign; of shares in percentage points.

    >>> signed(0.01, "amount"), signed(-0.01, "amount"), signed(0.0, "amount"), signed(0.005, "share")
    ('+0.01', '−0.01', '0', '+0.5 points')
    """
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    if unit != "share":
        return f"{sign}{number(abs(value), unit)}"
    return f"{sign}{_digits(100 * abs(value))} {'个百分点' if language == 'zh' else 'points'}"


def duration(seconds: float, language: str) -> str:
    """Write a time in its largest whole unit.

    >>> duration(60, "en"), duration(86400, "en"), duration(5400, "en"), duration(60, "zh")
    ('1 min', '1 d', '90 min', '1 分钟')
    """
    units = ((86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))
    size, en, zh = next((one for one in units if seconds >= one[0] and seconds % one[0] == 0), units[-1])
    return f"{seconds / size:g} {zh if language == 'zh' else en}"


def _digits(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no figure: what is not known has to say why")
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
