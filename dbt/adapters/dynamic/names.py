"""Names in DuckDB: how they compare, and how they and strings are written in SQL."""

from __future__ import annotations

import difflib
import string
from collections.abc import Iterable

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(name: str) -> str:
    """A name as DuckDB compares it: in lower case, but for letters beyond ASCII.

    >>> fold("Größe"), fold("Ä")
    ('größe', 'Ä')
    """
    return name.translate(_TO_LOWER)


def folded(column: str) -> str:
    """The SQL of `fold` for a column of names."""
    return f"translate({column}, '{string.ascii_uppercase}', '{string.ascii_lowercase}')"


def literal(value: str) -> str:
    """A string as a SQL literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def quoted(*parts: str) -> str:
    """A dotted, quoted name."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the names that are nearest to a mistyped one and a blank, or "".

    >>> did_you_mean("Oders", ["orders", "lake.main.orders", "customers"])
    'Did you mean orders? '
    """
    near = difflib.get_close_matches(fold(name), sorted(set(known)), n=3)
    return f"Did you mean {' or '.join(near)}? " if near else ""
