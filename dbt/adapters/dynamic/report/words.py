"""Figures as people read them."""

from __future__ import annotations

import unicodedata


def duration(value_ms: float) -> str:
    """A duration in the two largest units that matter.

    >>> [duration(ms) for ms in (0, 480, 5200, 125_000, 7_380_000, 200_000_000, -5200)]
    ['0 ms', '480 ms', '5.2 s', '2 min 5 s', '2 h 3 min', '2 d 7 h', '−5.2 s']
    """
    if value_ms < 0:
        return f"−{duration(-value_ms)}"
    if value_ms < 1000:
        return f"{value_ms:.0f} ms"
    if value_ms < 60_000:
        return f"{value_ms / 1000:.1f} s"
    whole = round(value_ms / 1000)
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {part}"
    return f"{whole // 60} min {whole % 60} s"


def width(text: str) -> int:
    """How many columns a text takes in a fixed-width font, at most.

    >>> width("abc"), width("表")
    (3, 2)
    """
    # What is no ASCII may come from another font, which is wider.
    return sum(1 if one.isascii() or unicodedata.combining(one) else 2 for one in text)


def shortened(text: str, columns: int) -> str:
    """A text of so many columns at most; its end stays, which tells names apart.

    >>> shortened("lake.main.customer_metrics", 12), shortened("short", 12)
    ('…mer_metrics', 'short')
    """
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[1:]
    return f"…{text}"
