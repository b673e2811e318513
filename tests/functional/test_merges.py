"""Every way to merge, through dbt on a real lake. Every run is checked by the oracle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbt.adapters.dynamic.impl import DynamicAdapter
from dbt.adapters.dynamic.refresh import merging
from tests.functional.catalogs import any_catalog
from tests.functional.project import LakeProject

ORDERS = (
    "SELECT i AS id, i % 20 AS customer, (i * 1.5)::DECIMAL(10, 2) AS amount FROM range(1000) r(i)"
)
CUSTOMERS = "SELECT i AS customer, 'c' || i AS name FROM range(18) r(i)"
NAMED = (
    "SELECT o.id, o.amount, c.name FROM {{ source('raw', 'orders') }} AS o "
    "LEFT JOIN {{ source('raw', 'customers') }} AS c ON o.customer = c.customer"
)
# Many equal rows, and rows of NULLs only.
COPIES = (
    "SELECT i AS id, nullif(i % 4, 0) AS a, CASE WHEN i % 4 = 1 THEN 'x' END AS b "
    "FROM range(400) r(i)"
)


def error(response: Any) -> str:
    """The message of a model that failed, on one line."""
    assert isinstance(response, str), response
    return " ".join(response.split())


def verify(project: LakeProject) -> str:
    """What dynamic_table_verify prints; it must find no difference."""
    project.dbt("run-operation", "dynamic_table_verify")
    return project.output


def test_append(project: LakeProject) -> None:
    """Only inserts into the left side of a left join: nothing of the table is read."""
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("named", NAMED)
    project.run()
    project.sql("INSERT INTO raw.orders VALUES (5000, 3, 1), (5001, 19, 2), (NULL, NULL, NULL)")
    response = project.run()["named"]
    assert (response["refresh_action"], response["strategy"]) == ("INCREMENTAL", "append")
    assert (response["rows_inserted"], response["rows_deleted"]) == (3, 0)
    assert response["_message"] == "INCREMENTAL append +3"
    # An insert on the right side may take a row's NULLs away: that is no append.
    project.sql("INSERT INTO raw.customers VALUES (19, 'c19')")
    response = project.run()["named"]
    assert (response["refresh_action"], response["strategy"]) == ("INCREMENTAL", "bag_merge")
    assert (response["rows_inserted"], response["rows_deleted"]) == (51, 51)


def test_bag_of_a_left_join(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("named", NAMED)
    project.model("starred", "SELECT * FROM {{ source('raw', 'orders') }}")
    project.run()
    project.sql(
        "UPDATE raw.customers SET name = 'new' WHERE customer = 3",
        "DELETE FROM raw.customers WHERE customer = 4",
        "UPDATE raw.orders SET customer = NULL WHERE id = 7",
        "DELETE FROM raw.orders WHERE id = 3",
    )
    responses = project.run()
    named = responses["named"]
    assert (named["refresh_action"], named["strategy"]) == ("INCREMENTAL", "bag_merge")
    # 50 orders each of the customers 3 (one is deleted) and 4, and order 7.
    assert (named["rows_inserted"], named["rows_deleted"]) == (100, 101)
    assert named["_message"] == "INCREMENTAL bag_merge 201/1,000 rows +100 -101"
    starred = responses["starred"]
    assert (starred["rows_inserted"], starred["rows_deleted"]) == (1, 2)
    assert "named: equal (999 rows)" in verify(project)


@any_catalog
def test_bag_with_copies_and_nulls(project: LakeProject) -> None:
    """Exactly the right number of copies goes and comes."""
    project.source("copies", COPIES)
    project.model("bag", "SELECT a, b FROM {{ source('raw', 'copies') }}")
    project.run()
    project.sql(
        "DELETE FROM raw.copies WHERE id IN (0, 4, 8, 1, 2)",  # 3 of 100 (NULL, NULL), 1, 1
        "INSERT INTO raw.copies VALUES (900, NULL, NULL), (901, NULL, NULL), (902, 9, 'y'), "
        "(903, 9, 'y')",
        "UPDATE raw.copies SET a = 3 WHERE id IN (6, 10)",
        "UPDATE raw.copies SET b = b",
    )
    response = project.run()["bag"]
    assert (response["refresh_action"], response["strategy"]) == ("INCREMENTAL", "bag_merge")
    # (NULL, NULL) -1, (1, x) -1, (2, NULL) -3, (3, NULL) +2, (9, y) +2
    assert (response["rows_inserted"], response["rows_deleted"]) == (4, 5)
    assert project.sql("SELECT count(*) FROM main.bag WHERE a IS NULL AND b IS NULL") == [(99,)]
    assert "bag: equal (399 rows)" in verify(project)


LINES = (
    "SELECT i AS id, i // 4 AS word, i % 4 AS line, 'text ' || i % 4 AS text FROM range(400) r(i)"
)


@pytest.mark.parametrize(
    ("columns", "statement", "ways"),
    [
        ("id, line, text", "DELETE FROM raw.lines WHERE id IN (3, 4)", [["id"]]),
        # All lines of some orders: by the order alone, though it has several rows.
        ("word, line, text", "DELETE FROM raw.lines WHERE word BETWEEN 3 AND 9", [["word"]]),
        (
            "word, line, text",
            "DELETE FROM raw.lines WHERE id IN (13, 18, 33, 38, 43, 48) OR word = 7",
            [["word"], ["word", "line"]],
        ),
        (
            "word, text",
            "UPDATE raw.lines SET text = 'new' WHERE id IN (13, 18)",
            [["word"], ["word", "text"]],
        ),
        # Copies: any of them, but no more than that.
        (
            "word, line // 2 AS half, 'same' AS text",
            "DELETE FROM raw.lines WHERE id IN (13, 18)",
            [["word"], ["word", "half"], ["word", "half", "text"]],
        ),
        # NULLs are not looked by first.
        (
            "nullif(word, 3) AS word, line, text",
            "DELETE FROM raw.lines WHERE id IN (13, 18)",
            [["line"], ["word", "line"]],
        ),
        ("nullif(word, 3) AS word", "DELETE FROM raw.lines WHERE id IN (13, 18)", [["word"]]),
    ],
)
def test_rows_are_found_by_few_columns(
    project: LakeProject,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    statement: str,
    ways: list[list[str]],
) -> None:
    monkeypatch.setattr(merging, "_WORTH_SEVERAL_WAYS", 1)
    project.source("lines", LINES)
    project.model("bag", f"SELECT {columns} FROM {{{{ source('raw', 'lines') }}}}")
    project.run()
    project.sql(statement)
    response = project.run()["bag"]
    assert response["strategy"] == "bag_merge", response["reason"]
    found = re.findall(r"select ([^\n]*), sum\(-dbt_dynamic_weight", project.statements("bag"))
    assert [re.findall(r'"(\w+)"', one) for one in found] == ways


def test_bag_over_the_threshold(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("named", NAMED)
    project.model("patient", NAMED, cardinality_threshold=1)
    project.run()
    project.sql("UPDATE raw.customers SET name = 'n' || customer WHERE customer < 5")
    responses = project.run()
    named = responses["named"]
    assert (named["refresh_action"], named["reason_code"]) == ("FULL", "OVER_THRESHOLD")
    assert named["reason"] == (
        "500 of 1,000 rows affected (50.0%), more than cardinality_threshold 0.3"
    )
    assert (named["affected_keys"], named["total_keys"]) == (500, 1000)
    assert responses["patient"]["_message"] == "INCREMENTAL bag_merge 500/1,000 rows +250 -250"


def test_unique_key(project: LakeProject) -> None:
    """One column, several, and in another case than the query's."""
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("one", NAMED, unique_key="ID")
    project.model("several", NAMED, unique_key=["name", "id"])
    # The sum of DOUBLEs may be another one each time: only the declared key can find its row.
    project.model(
        "inexact",
        "SELECT o.id, s.d FROM {{ source('raw', 'orders') }} AS o JOIN (SELECT customer, "
        "sum(amount::DOUBLE) AS d FROM {{ source('raw', 'orders') }} GROUP BY customer) AS s "
        "ON o.customer = s.customer",
        unique_key="id",
    )
    project.run()
    project.sql(
        "UPDATE raw.customers SET name = 'new' WHERE customer = 3",
        "INSERT INTO raw.orders VALUES (5000, 3, 1)",
        "DELETE FROM raw.orders WHERE id = 43",
    )
    responses = project.run()
    for name in ("one", "several", "inexact"):
        assert responses[name]["refresh_action"] == "INCREMENTAL", responses[name]
        assert responses[name]["rows_inserted"] == 50, name
        assert responses[name]["rows_deleted"] == 50, name
    assert "several: equal (1,000 rows)" in verify(project)


def test_unique_key_that_is_not_unique(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("merged", NAMED, unique_key="id")
    project.model("deduplicated", NAMED, unique_key="id", deduplicate=True)
    project.model(
        "pairs",
        "SELECT customer, id % 50 AS part FROM {{ source('raw', 'orders') }} WHERE id < 50",
        unique_key=["Customer", "part"],
    )
    # The query has a key of its own; the declared one is checked all the same.
    project.model(
        "grouped",
        "SELECT customer, max(amount) AS most FROM {{ source('raw', 'orders') }} GROUP BY 1",
        unique_key="most",
    )
    project.run()
    before = project.sql("SELECT hash(list(t ORDER BY id, name)) FROM main.merged AS t")
    project.sql("INSERT INTO raw.orders VALUES (7, 3, 1476), (1, 1, 1)")
    responses = project.run(ok=False)
    for name in ("merged", "deduplicated"):
        message = error(responses[name])
        assert f"Model '{name}': the unique_key is not unique: 2 rows with id = " in message
        assert "The table was left as it was." in message
    assert "2 rows with Customer = 1, part = 1." in error(responses["pairs"])
    assert "2 rows with most = 1476" in error(responses["grouped"])
    assert project.sql("SELECT hash(list(t ORDER BY id, name)) FROM main.merged AS t") == before
    # A whole build is checked as well.
    responses = project.run("--full-refresh", ok=False)
    assert "the unique_key is not unique: 2 rows with id = " in error(responses["merged"])
    assert project.sql("SELECT hash(list(t ORDER BY id, name)) FROM main.merged AS t") == before
    project.sql("DELETE FROM raw.orders WHERE id IN (1, 7)")
    assert project.run()["merged"]["refresh_action"] == "INCREMENTAL"


def test_query_whose_normal_form_duckdb_cannot_plan(project: LakeProject) -> None:
    """An error of the planner, unlike the binder's, ends a transaction: it is asked aside."""
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model(
        "correlated",
        "SELECT id FROM {{ source('raw', 'orders') }} AS o WHERE customer IN (SELECT c.customer "
        "FROM {{ source('raw', 'customers') }} AS c RIGHT JOIN (SELECT a.customer AS k FROM "
        "{{ source('raw', 'customers') }} AS a FULL JOIN {{ source('raw', 'orders') }} AS b(p) "
        "ON a.customer = b.p) AS d ON c.customer = d.k WHERE c.customer = o.customer)",
    )
    project.run()
    project.sql("INSERT INTO raw.orders VALUES (5000, 3, 1)")
    done = project.run()["correlated"]
    assert (done["refresh_action"], done["reason_code"]) == ("FULL", "UNPARSED_SQL")
    assert "Unsupported join type for flattening correlated subquery" in done["reason"]


def test_unique_key_that_is_declared_later(project: LakeProject) -> None:
    """A merge looks only at the rows that it adds, so the rows before are checked once."""
    project.source("orders", ORDERS)
    project.source("customers", CUSTOMERS)
    project.model("named", NAMED)
    project.sql("INSERT INTO raw.orders VALUES (7, 3, 1476)")
    project.run()
    (before,) = project.sql(
        "SELECT table_uuid FROM ducklake_table_info('lake') WHERE table_name = 'named'"
    )
    project.model("named", NAMED, unique_key="id")
    message = error(project.run(ok=False)["named"])
    assert "the unique_key is not unique: 2 rows with id = 7" in message
    project.sql("DELETE FROM raw.orders WHERE id = 7")
    assert project.run()["named"]["reason_code"] == "CONFIGURATION_CHANGED"
    assert project.run()["named"]["refresh_action"] == "NO_DATA"
    (after,) = project.sql(
        "SELECT table_uuid FROM ducklake_table_info('lake') WHERE table_name = 'named'"
    )
    assert before == after  # it was filled again, not made anew


def test_unique_key_that_the_query_does_not_have(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("named", "SELECT id, amount FROM {{ source('raw', 'orders') }}", unique_key="k")
    assert (
        "Model 'named': unique_key names the column 'k', which the query does not have; it has "
        "id, amount." in error(project.run(ok=False)["named"])
    )


def test_deduplicate(project: LakeProject) -> None:
    """Only rows that differ are written: by keys, by keys with several rows, by no key."""
    project.source("orders", ORDERS)
    orders = "{{ source('raw', 'orders') }}"
    project.model(
        "by_customer",
        f"SELECT customer, count(*) AS n, max(amount) AS most FROM {orders} GROUP BY customer",
        deduplicate=True,
    )
    project.model(
        "ranked",
        "SELECT id, customer, row_number() OVER (PARTITION BY customer ORDER BY amount, id) AS p "
        f"FROM {orders}",
        deduplicate=True,
    )
    project.model(
        "total",
        f"SELECT count(*) AS n, max(amount) AS most FROM {orders}",
        deduplicate=True,
        refresh_mode="incremental",
    )
    project.model(
        "whole",
        f"SELECT id, customer, amount FROM {orders}",
        deduplicate=True,
        refresh_mode="full",
    )
    project.model("reader", "SELECT customer, max(amount) AS m FROM {{ ref('whole') }} GROUP BY 1")
    project.run()
    tables = "SELECT table_name, table_uuid FROM ducklake_table_info('lake') ORDER BY 1"
    uuids = project.sql(tables)
    project.sql(
        "UPDATE raw.orders SET amount = amount - 0.01 WHERE id IN (3, 44)",  # no order changes
        "UPDATE raw.orders SET amount = 7000 WHERE id = 985",  # the last of customer 5
        "DELETE FROM raw.orders WHERE id = 986",  # the last of customer 6
        "INSERT INTO raw.orders VALUES (986, 6, 9000)",
    )
    responses = project.run()
    written = {
        name: tuple(one[key] for key in ("rows_inserted", "rows_deleted", "rows_unchanged"))
        for name, one in responses.items()
        if name != "reader"
    }
    assert written == {
        "by_customer": (2, 2, 2),
        "ranked": (0, 0, 200),
        "total": (1, 1, 0),
        "whole": (4, 4, 996),
    }
    assert responses["whole"]["reason_code"] == "REFRESH_MODE_FULL"
    assert project.sql(tables) == uuids
    # So the next table in the chain has little to do.
    assert responses["reader"]["_message"] == "INCREMENTAL merge_aggregates 4/20 keys +4 -4"
    # What was updated and set back writes nothing at all.
    project.sql("UPDATE raw.orders SET amount = 8 WHERE id = 3")
    project.sql("UPDATE raw.orders SET amount = 4.49 WHERE id = 3")
    responses = project.run()
    for name in ("by_customer", "ranked", "total", "whole"):
        assert (responses[name]["rows_inserted"], responses[name]["rows_deleted"]) == (0, 0), name
    verify(project)


def test_global_aggregate(project: LakeProject) -> None:
    """It has one key, so every change affects all of it: a decision, not a refusal."""
    project.source("orders", ORDERS)
    query = "SELECT count(*) AS n, sum(amount) AS total FROM {{ source('raw', 'orders') }}"
    project.model("automatic", query)
    project.model("strict", query, refresh_mode="incremental")
    project.run()
    for statement in ("DELETE FROM raw.orders WHERE id = 3", "DELETE FROM raw.orders"):
        project.sql(statement)
        responses = project.run()
        automatic, strict = responses["automatic"], responses["strict"]
        assert (automatic["refresh_action"], automatic["reason_code"]) == (
            "FULL",
            "OVER_THRESHOLD",
        )
        assert "1 of 1 keys affected (100.0%)" in automatic["reason"]
        assert strict["_message"] == "INCREMENTAL merge_aggregates 1/1 keys +1 -1"
    assert project.sql("FROM main.strict") == [(0, None)]


@pytest.mark.parametrize("deduplicate", [False, True], ids=["plain", "deduplicate"])
def test_odd_column_names(project: LakeProject, deduplicate: bool) -> None:
    project.source(
        "odd",
        'SELECT i AS "Row Id", i % 20 AS "the ""key""", i AS "SELECT", \'x\' AS "größe.Ä" '
        "FROM range(1000) r(i)",
    )
    odd = "{{ source('raw', 'odd') }}"
    project.model(
        "keyed",
        f'SELECT "the ""key""" AS "A ""Key""", count(*) AS "How Many", sum("SELECT") AS "from" '
        f"FROM {odd} GROUP BY ALL",
        deduplicate=deduplicate,
    )
    project.model("bag", f"SELECT * FROM {odd}", deduplicate=deduplicate)
    project.model("declared", f"SELECT * FROM {odd}", unique_key="row id", deduplicate=deduplicate)
    project.model(
        "windowed",
        f'SELECT *, sum("SELECT") OVER (PARTITION BY "the ""key""") AS "Sum of ""it""" FROM {odd}',
        deduplicate=deduplicate,
    )
    project.run()
    project.sql(
        'UPDATE raw.odd SET "SELECT" = NULL WHERE "Row Id" = 3',
        'DELETE FROM raw.odd WHERE "Row Id" = 4',
        "INSERT INTO raw.odd VALUES (NULL, NULL, NULL, NULL)",
    )
    assert {
        name: (one["refresh_action"], one["strategy"]) for name, one in project.run().items()
    } == {
        "keyed": ("INCREMENTAL", "merge_aggregates"),
        "bag": ("INCREMENTAL", "bag_merge"),
        "declared": ("INCREMENTAL", "bag_merge"),
        "windowed": ("INCREMENTAL", "affected_keys"),
    }
    columns = [row[0] for row in project.sql("DESCRIBE main.windowed")]
    assert columns == ["Row Id", 'the "key"', "SELECT", "größe.Ä", 'Sum of "it"']
    verify(project)


def test_settled_ties(project: LakeProject) -> None:
    """Which row of a tie is the first is decided once, in whole builds and in merges alike."""
    project.source(
        "events",
        "SELECT i AS id, i % 100 AS k, i // 500 AS t, i % 7 AS v FROM range(1000) r(i)",
    )
    firsts = (
        "(SELECT k, t, v FROM {{ source('raw', 'events') }} "
        "QUALIFY row_number() OVER (PARTITION BY k ORDER BY t) = 1)"
    )
    project.source("names", "SELECT i AS v, 'n' || i AS name FROM range(7) r(i)")
    project.model(
        "joined",
        f"SELECT f.k, n.name FROM {firsts} AS f JOIN {{{{ source('raw', 'names') }}}} AS n "
        "ON f.v = n.v",
        cardinality_threshold=1,
    )
    project.model(
        "counted",
        f"SELECT v, count(*) AS n, sum(k) AS s FROM {firsts} AS f GROUP BY v",
        cardinality_threshold=1,
    )
    check, project.check = project.check, lambda: None  # type: ignore[method-assign]
    project.run()  # the oracle settles ties otherwise; verify evaluates the settled text
    rounds = (
        "UPDATE raw.events SET v = v WHERE k < 40",
        "INSERT INTO raw.events SELECT 2000 + i, i, 0, i % 7 FROM range(10) r(i)",
        "DELETE FROM raw.events WHERE id < 30",
    )
    for statement in rounds:
        project.sql(statement)
        responses = project.run()
        assert responses["joined"]["refresh_action"] == "INCREMENTAL", responses["joined"]
        assert responses["counted"]["refresh_action"] == "INCREMENTAL", responses["counted"]
        shown = verify(project)
        assert "joined: equal (100 rows)" in shown
        assert "counted: equal (" in shown
    rows = project.sql("FROM main.joined ORDER BY ALL")
    project.run("--full-refresh")
    assert project.sql("FROM main.joined ORDER BY ALL") == rows
    project.check = check  # type: ignore[method-assign]


def test_strict_mode_names_the_construct_and_its_place(project: LakeProject) -> None:
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)")
    events = "{{ source('raw', 'events') }}"
    # The line of config() is line 1.
    queries = {
        "limited": f"SELECT id\nFROM {events}\n  LIMIT 3",
        "numbered": f"SELECT id,\n  row_number() OVER (ORDER BY id) AS p\nFROM {events}",
        "chosen": f"SELECT id,\n  random() AS r\nFROM {events}",
        "counted": "WITH RECURSIVE n AS (\n  SELECT 1 AS i UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < 3)\nSELECT i FROM n JOIN {events} AS e ON e.id = n.i",
    }
    for name, sql in queries.items():
        project.model(name, sql, refresh_mode="incremental")
    responses = project.run(ok=False)
    for name, expected in {
        "limited": "LIMIT_UNSUPPORTED: LIMIT (line 4, column",
        "numbered": "WINDOW_WITHOUT_PARTITION: ",
        "chosen": "VOLATILE_FUNCTION: random (line 3, column 3) gives another value in every call",
        "counted": "RECURSIVE_CTE: ",
    }.items():
        message = error(responses[name])
        assert expected in message, message
        assert "(line " in message, message
        assert ", column " in message, message
        assert "Set refresh_mode to 'auto'" in message


def test_self_check_of_a_bag(project: LakeProject) -> None:
    """A merge that removes fewer rows than it must never commits; the table is rebuilt."""
    project.source("copies", COPIES)
    project.model("bag", "SELECT a, b FROM {{ source('raw', 'copies') }}")
    project.run()
    project.file(
        "macros/broken.sql",
        "{% macro dynamic__dynamic_table_delete_rows_sql(stage) %}\n"
        "delete from {{ stage.target }} where rowid in (\n"
        "  select min(dbt_dynamic_rows[1]) from {{ dynamic_table_quote(stage.found[0]) }}\n"
        ")\n"
        "{% endmacro %}\n",
    )
    project.sql("DELETE FROM raw.copies WHERE id IN (0, 4)")
    response = project.run()["bag"]
    assert (response["refresh_action"], response["reason_code"]) == (
        "REINITIALIZE",
        "SELF_CHECK_FAILED",
    )
    assert response["reason"] == "of 2 rows to remove 1 were found in the table"
    assert project.sql("SELECT count(*) FROM main.bag") == [(398,)]


def files_read(monkeypatch: pytest.MonkeyPatch, profile: Path) -> dict[tuple[str, str], list[int]]:
    """How many files of each table the statements of a refresh open.

    Args:
        monkeypatch: pytest's.
        profile: a file for DuckDB's profiles.

    Returns:
        By the first word of the statement and the table, for each scan. Filled by refreshes.
    """
    found: dict[tuple[str, str], list[int]] = {}
    run = DynamicAdapter.dynamic_table_rows

    def look(step: dict[str, Any], word: str) -> None:
        extra = step.get("extra_info") or {}
        if "Total Files Read" in extra:
            key = word, extra["Table"]
            found.setdefault(key, []).append(int(extra["Total Files Read"]))
        for child in step.get("children", []):
            look(child, word)

    def profiled(self: DynamicAdapter, sql: str) -> list[tuple[Any, ...]]:
        run(self, "PRAGMA enable_profiling = 'json'")
        run(self, f"PRAGMA profiling_output = '{profile}'")
        try:
            return run(self, sql)
        finally:
            run(self, "PRAGMA disable_profiling")
            if profile.exists():
                look(json.loads(profile.read_text()), sql.split()[0])
                profile.unlink()

    monkeypatch.setattr(DynamicAdapter, "dynamic_table_rows", profiled)
    return found


@pytest.mark.parametrize("config", [{}, {"deduplicate": True}], ids=["", "deduplicate"])
def test_only_files_with_affected_keys_are_read(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    """DuckLake opens the files of the table and of its source that may hold the keys."""
    project.source("orders", ORDERS)
    day = "DATE '2024-01-01' + (id // 50)::INTEGER"
    project.sql(
        f"CREATE TABLE raw.dated AS SELECT {day} AS day, id % 2 AS kind, amount FROM raw.orders",
        "ALTER TABLE raw.dated SET PARTITIONED BY (day)",
        "CREATE OR REPLACE TABLE raw.orders AS FROM raw.dated LIMIT 0",
        "ALTER TABLE raw.orders SET PARTITIONED BY (day)",
        "INSERT INTO raw.orders FROM raw.dated",
    )
    query = (
        "SELECT day, kind, sum(amount) AS total, count(DISTINCT amount) AS amounts "
        "FROM {{ source('raw', 'orders') }} GROUP BY day, kind"
    )
    project.model("by_day", query, partitioned_by=["day"], **config)
    project.run()
    for change in (
        "INSERT INTO raw.orders SELECT DATE '2024-01-07', 0, i FROM range(30) r(i)",
        # The keys that hold a NULL are compared otherwise; there the days still are with "=".
        "INSERT INTO raw.orders VALUES (DATE '2024-01-07', NULL, 5)",
    ):
        project.sql(change)
        found = files_read(monkeypatch, project.folder / "profile.json")
        response = project.run()["by_day"]
        monkeypatch.undo()
        assert response["strategy"] == "affected_keys"
        # By the statement that removes the rows, or finds those that differ; and by the check.
        computing, removing = ("create", "create") if config else ("insert", "delete")
        assert max(found[computing, "orders"]) == 2
        assert set(found[removing, "by_day"]) == {1}
        assert min(found["select", "by_day"]) == 1


@pytest.mark.parametrize("deduplicate", [False, True], ids=["", "deduplicate"])
def test_little_memory(
    make_project: Callable[..., LakeProject], monkeypatch: pytest.MonkeyPatch, deduplicate: bool
) -> None:
    """What a refresh keeps in temporary tables goes to disk where memory does not suffice."""
    project = make_project(settings={"memory_limit": "90MB"})
    project.source("events", "SELECT i % 600_000 AS k, i % 7 AS v FROM range(1_200_000) r(i)")
    for name, shown in (("sums", "sum(v) AS shown"), ("different", "count(DISTINCT v) AS shown")):
        query = (
            f"SELECT k, count(*) AS n, {shown} FROM {{{{ source('raw', 'events') }}}} GROUP BY k"
        )
        project.model(name, query, refresh_mode="incremental", deduplicate=deduplicate)
    project.run()
    project.sql("INSERT INTO raw.events SELECT i, 9 FROM range(300_000) r(i)")
    spilled: list[int] = []
    run = DynamicAdapter.dynamic_table_rows

    def watched(self: DynamicAdapter, sql: str) -> list[tuple[Any, ...]]:
        rows = run(self, sql)
        disk = "SELECT coalesce(sum(temporary_storage_bytes), 0) FROM duckdb_memory()"
        spilled.append(int(run(self, disk)[0][0]))
        return rows

    monkeypatch.setattr(DynamicAdapter, "dynamic_table_rows", watched)
    responses = project.run()
    strategies = {name: response["strategy"] for name, response in responses.items()}
    assert strategies == {"sums": "merge_aggregates", "different": "affected_keys"}
    assert {response["affected_keys"] for response in responses.values()} == {300_000}
    assert max(spilled) > 0, "memory sufficed; this shows nothing"
