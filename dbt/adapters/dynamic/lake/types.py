"""Which types a DuckLake does not give back as they were written (run on DuckDB 1.5.5).

Rows that are still inlined in the catalog are exact; Parquet files are not, so such a value may
even change when inlined rows are flushed.
"""

from __future__ import annotations

# As DuckDB writes types, with what Parquet keeps of them.
_INEXACT = {
    "HUGEINT": "as DOUBLE: exact up to 2^53; cast to BIGINT or DECIMAL(38, 0)",
    "INTERVAL": "in milliseconds, and not below zero; keep it as a number",
    "TIME WITH TIME ZONE": "without its offset; keep TIME and offset apart",
}


def stored_inexactly(type_name: str) -> str:
    """What a lake loses of a column's type, with the remedy; "" if it loses nothing.

    >>> stored_inexactly("HUGEINT[]")
    'as DOUBLE: exact up to 2^53; cast to BIGINT or DECIMAL(38, 0)'
    >>> stored_inexactly("BIGINT")
    ''
    """
    return next((loss for name, loss in _INEXACT.items() if name in type_name), "")
