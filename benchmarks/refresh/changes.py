"""What happens to the line items between two refreshes.

Rows are chosen by a hash, so that they are scattered over all files and row groups. The writer
notes in ``bench.changed`` which orders, parts and suppliers it touched, for the hand-written model
that knows its keys perfectly.
"""

from __future__ import annotations

RATES = (0.0, 0.0001, 0.001, 0.01, 0.1, 0.5)
KINDS = ("inserts", "mixed")

_NOTED = "l_orderkey, l_partkey, l_suppkey"


def statements(kind: str, rate: float, round: int) -> list[str]:
    """The statements of one change, a commit each.

    Args:
        kind: ``inserts``; or ``mixed``: half updates, a quarter inserts, a quarter deletes.
        rate: of the line items that change.
        round: another number chooses other rows.
    """
    if not rate:
        return []
    if kind == "inserts":
        chosen = _chosen(rate, round, 0)
        return [_note(chosen), _insert(chosen, round)]
    updated = _chosen(rate / 2, round, 1)
    inserted, deleted = (_chosen(rate / 4, round, salt) for salt in (2, 3))
    return [
        _note(f"({updated}) OR ({inserted}) OR ({deleted})"),
        "UPDATE lineitem SET l_extendedprice = l_extendedprice + 1, l_quantity = l_quantity % 50 "
        f"+ 1 WHERE {updated}",
        _insert(inserted, round),
        f"DELETE FROM lineitem WHERE {deleted}",
    ]


def _chosen(rate: float, round: int, salt: int) -> str:
    return f"hash(l_orderkey, l_linenumber, {round}, {salt}) % 1_000_000 < {rate * 1_000_000:.0f}"


def _note(condition: str) -> str:
    return (
        f"CREATE OR REPLACE TABLE bench.changed AS SELECT {_NOTED} FROM lineitem WHERE {condition}"
    )


def _insert(condition: str, round: int) -> str:
    return (
        f"INSERT INTO lineitem SELECT * REPLACE (l_linenumber + {10 * (round + 1)} "
        f"AS l_linenumber, l_extendedprice + 1 AS l_extendedprice) FROM lineitem WHERE {condition}"
    )
