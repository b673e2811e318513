"""The lake of the soak: base tables, models of every kind of merge, and random changes."""

from __future__ import annotations

import random
from typing import Any

from tests.functional.project import LakeProject

_ORDERS = (
    "SELECT i AS id, i % 200 AS customer, (i % 997 * 1.5)::DECIMAL(10, 2) AS amount, "
    "'n' || i % 13 AS note FROM range(4000) r(i)"
)
_CUSTOMERS = "SELECT i AS customer, 'c' || i AS name, 'r' || i % 7 AS region FROM range(190) r(i)"
_RATES = "SELECT 'r' || i AS region, (i + 1)::DECIMAL(10, 2) AS rate FROM range(6) r(i)"

BASE_TABLES = {"orders": _ORDERS, "customers": _CUSTOMERS, "rates": _RATES}

_O, _C, _R = (f"{{{{ source('raw', '{name}') }}}}" for name in ("orders", "customers", "rates"))
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "by_customer": (
        f"SELECT customer, count(*) AS n, sum(amount) AS total, max(note) AS last FROM {_O} "
        "GROUP BY customer",
        {},
    ),
    "by_note": (
        f"SELECT note, count(*) AS n, min(amount) AS least FROM {_O} GROUP BY note HAVING n > 9",
        {"deduplicate": True, "cardinality_threshold": 1},
    ),
    "named": (
        f"SELECT o.id, o.amount, c.name FROM {_O} AS o LEFT JOIN {_C} AS c "
        "ON o.customer = c.customer",
        {},
    ),
    "bag": (f"SELECT customer, note FROM {_O} WHERE amount > 300", {}),
    "ranked": (
        "SELECT id, customer, row_number() OVER (PARTITION BY customer ORDER BY amount, id) AS p "
        f"FROM {_O}",
        {},
    ),
    "priced": (
        f"SELECT c.region, count(*) AS n, sum(o.amount * r.rate) AS total FROM {_O} AS o "
        f"JOIN {_C} AS c ON o.customer = c.customer JOIN {_R} AS r ON c.region = r.region "
        "GROUP BY c.region",
        {"cardinality_threshold": 1},
    ),
    "regions": (
        "SELECT c.region, count(*) AS n, sum(b.total) AS total "
        f"FROM {{{{ ref('by_customer') }}}} AS b JOIN {_C} AS c ON b.customer = c.customer "
        "GROUP BY c.region",
        {"cardinality_threshold": 1},
    ),
    "without_orders": (
        f"SELECT c.* FROM {_C} AS c WHERE NOT EXISTS "
        f"(SELECT 1 FROM {_O} AS o WHERE o.customer = c.customer AND o.amount > 1200)",
        {},
    ),
    "few": (f"SELECT id, amount FROM {_O} ORDER BY amount DESC, id LIMIT 20", {}),
}


def lay_out(project: LakeProject, **config: Any) -> None:
    """Make the base tables, and write the models."""
    for name, sql in BASE_TABLES.items():
        project.source(name, sql)
    for name, (sql, own) in MODELS.items():
        project.model(name, sql, **config, **own)


def change(rng: random.Random) -> list[str]:
    """The statements of one random commit to the base tables; their size stays about the same."""
    kind = rng.randrange(14)
    at = rng.randrange(4000)
    if kind == 0:
        return [
            "INSERT INTO raw.orders SELECT i, i % 211, (i * 7 % 1500)::DECIMAL(10, 2), "
            f"'n' || i % 13 FROM range({at}, {at + rng.randrange(1, 200)}) r(i)"
        ]
    if kind in (1, 2):
        customer = rng.choice(["NULL", str(rng.randrange(220))])
        return [
            f"INSERT INTO raw.orders VALUES ({at}, {customer}, {rng.randrange(1500)}, 'n1'), "
            f"({at}, {customer}, {rng.randrange(1500)}, NULL)"
        ]
    if kind in (3, 4):
        return [f"DELETE FROM raw.orders WHERE id BETWEEN {at} AND {at + rng.randrange(90)}"]
    if kind in (5, 6):
        return [
            f"UPDATE raw.orders SET amount = amount + {rng.randrange(-9, 10)}, customer = "
            f"{rng.randrange(200)} WHERE id BETWEEN {at} AND {at + rng.randrange(20)}"
        ]
    if kind == 7:
        return [f"UPDATE raw.orders SET note = 'n{rng.randrange(13)}' WHERE customer = {at % 200}"]
    if kind == 8:
        return [f"UPDATE raw.customers SET region = 'r{at % 8}' WHERE customer = {at % 190}"]
    if kind == 9:
        customer = at % 230
        return [
            "BEGIN",
            f"DELETE FROM raw.customers WHERE customer = {customer}",
            f"INSERT INTO raw.customers VALUES ({customer}, 'x{at}', 'r{at % 7}')",
            "COMMIT",
        ]
    if kind == 10:
        return [f"DELETE FROM raw.customers WHERE customer = {at % 190}"]
    if kind == 11:
        return [f"UPDATE raw.rates SET rate = rate + 0.5 WHERE region = 'r{at % 6}'"]
    if kind == 12:
        return [
            "BEGIN",
            f"UPDATE raw.orders SET amount = 1 WHERE id = {at}",
            f"INSERT INTO raw.orders VALUES ({at}, {at % 200}, 2, 'n2')",
            f"DELETE FROM raw.orders WHERE id = {at} AND amount = 1",
            f"UPDATE raw.customers SET name = name || 'y' WHERE customer = {at % 190}",
            "COMMIT",
        ]
    if rng.random() < 0.9:
        return [f"UPDATE raw.orders SET amount = amount WHERE id = {at}"]
    return [f"CREATE OR REPLACE TABLE raw.rates AS {_RATES.replace('i + 1', f'i + {at % 9}')}"]
