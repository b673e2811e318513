"""What happens to the line items between two refreshes.

Rows are chosen by a hash, so that they are scattered over all files and row groups. The writer
notes in ``bench.changed`` which orders, parts and customers it touched, for the hand-written model
that knows its keys perfectly.
"""

from __future__ import annotations

RATES = (0.0, 0.0001, 0.001, 0.01, 0.1, 0.5)
KINDS = ("inserts", "mixed")

NOTED = "l_orderkey, l_partkey"


def statements(kind: str, rate: float, number: int) -> list[str]:
    """The statements of one change, a commit each.

    Args:
        kind: ``inserts``; or ``mixed``: half updates, a quarter inserts, a quarter deletes.
        rate: of the line items that change; 0 changes none.
        number: of the change, from 1: each chooses other rows. Inserted rows get the line
            numbers from ten times that on, so that line items keep their key.
    """
    if not rate:
        return [_note("false")]
    if kind == "inserts":
        chosen = _inserted(rate, number)
        return [_note(chosen), _insert(chosen, number)]
    updated, deleted = _chosen(rate / 2, number, 1), _chosen(rate / 4, number, 3)
    inserted = _inserted(rate / 4, number)
    return [
        _note(f"({updated}) OR ({inserted}) OR ({deleted})"),
        "UPDATE lineitem SET l_extendedprice = l_extendedprice + 1, l_quantity = l_quantity % 50 "
        f"+ 1 WHERE {updated}",
        _insert(inserted, number),
        f"DELETE FROM lineitem WHERE {deleted}",
    ]


def _chosen(rate: float, number: int, salt: int) -> str:
    return f"hash(l_orderkey, l_linenumber, {number}, {salt}) % 1_000_000 < {rate * 1_000_000:.0f}"


def _inserted(rate: float, number: int) -> str:
    """The rows that are inserted again: original ones, which have line numbers up to 7."""
    return f"l_linenumber < 10 AND {_chosen(rate, number, 2)}"


def _note(condition: str) -> str:
    return (
        f"CREATE OR REPLACE TABLE bench.changed AS SELECT {NOTED} FROM lineitem WHERE {condition}"
    )


def _insert(condition: str, number: int) -> str:
    return (
        f"INSERT INTO lineitem SELECT * REPLACE (l_linenumber + {10 * number} AS l_linenumber, "
        f"l_extendedprice + 1 AS l_extendedprice) FROM lineitem WHERE {condition}"
    )
