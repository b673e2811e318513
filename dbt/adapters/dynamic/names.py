"""Names in DuckDB: how they compare, and how they and strings are written in SQL."""

from __future__ import annotations

import string

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
