"""Which types a DuckLake does not give back as they were written (run on DuckDB 1.5.5).

A value may differ between a row that is still inlined in the catalog and one in a Parquet file, so
it may even change when inlined rows are flushed.
"""

from __future__ import annotations

import re

# As DuckDB writes types, with what Parquet keeps of them; inlined rows are exact.
_LOSSY = {
    "HUGEINT": "as DOUBLE: exact up to 2^53; cast to BIGINT or DECIMAL(38, 0)",
    "INTERVAL": "in milliseconds, and not below zero; keep it as a number",
    "TIME WITH TIME ZONE": "without its offset; keep TIME and offset apart",
}
# Parquet is exact; an inlined row is kept as text, in which DuckDB may write one digit too few:
# 0.049827826896230804 becomes 0.0498278268962308.
_LOW_BITS = {
    "DOUBLE": "without its last bits while its row is inlined; cast to DECIMAL or an integer",
    "FLOAT": "without its last bits while its row is inlined; cast to DECIMAL or an integer",
}

# A lake has no columns of these: neither of a struct with one, nor of what only looks like it.
_UNKNOWN = re.compile(r"\b(BIT|BIGNUM|ENUM|UNION)\b|\[\d+\]")


def storable(type_name: str) -> bool:
    """Whether a lake can have a column of a type.

    >>> [storable(kind) for kind in ("INTEGER[]", "INTEGER[2]", "ENUM('a', 'b')")]
    [True, False, False]
    """
    return _UNKNOWN.search(type_name) is None


def stored_with_loss(type_name: str) -> str:
    """What a lake loses of a column's type, with the remedy; "" if it loses no more than low bits.

    >>> stored_with_loss("HUGEINT[]")
    'as DOUBLE: exact up to 2^53; cast to BIGINT or DECIMAL(38, 0)'
    >>> stored_with_loss("DOUBLE")
    ''
    """
    return next((loss for name, loss in _LOSSY.items() if name in type_name), "")


def stored_inexactly(type_name: str) -> str:
    """Why a stored value may not be found again by computing it, with the remedy; "" if it is.

    >>> stored_inexactly("DOUBLE")
    'without its last bits while its row is inlined; cast to DECIMAL or an integer'
    >>> stored_inexactly("BIGINT")
    ''
    """
    low_bits = next((loss for name, loss in _LOW_BITS.items() if name in type_name), "")
    return stored_with_loss(type_name) or low_bits
