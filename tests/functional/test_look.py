"""Where two tables had nothing to do, one look at the lake tells it of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.environment import LakeEnvironment
from dbt.adapters.dynamic.query.engine import RememberingEngine
from dbt.adapters.dynamic.refresh import look
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.look import Looks
from dbt.adapters.factory import get_adapter_by_type
from tests.functional.catalogs import any_catalog
from tests.functional.project import LakeProject

TOTALS = "SELECT k, sum(v)::BIGINT AS total FROM {} GROUP BY k"


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which transactions refreshes begin."""
    begun: list[str] = []

    def noting(name: str) -> Callable[[Any], None]:
        begin = getattr(DynamicConnectionManager, name)

        def noted(self: Any) -> None:
            begun.append(name)
            begin(self)

        return noted

    for name in ("begin_reading", "begin_refresh"):
        monkeypatch.setattr(DynamicConnectionManager, name, noting(name))
    return begun


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is taken for the first table."""
    monkeypatch.setattr(look, "_WORTH_A_LOOK", 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many statements refreshes have run, and how many connections were opened."""
    counted: Counter[str] = Counter()

    def counting(owner: Any, name: str) -> None:
        called = getattr(owner, name)

        def noted(self: Any, *arguments: Any) -> Any:
            counted[name] += 1
            return called(self, *arguments)

        monkeypatch.setattr(owner, name, noted)

    counting(DynamicConnectionManager, "rows")
    counting(DynamicConnectionManager, "aside")
    counting(LakeEnvironment, "handle")
    return counted


def tables(project: LakeProject, count: int) -> list[str]:
    """Models over two sources, each of which two rows of each key are in; built."""
    for number in range(2):
        project.source(f"events_{number}", "SELECT i % 20 AS k, i AS v FROM range(40) r(i)")
    names = [f"totals_{number}" for number in range(count)]
    for number, name in enumerate(names):
        project.model(name, TOTALS.format(f"{{{{ source('raw', 'events_{number % 2}') }}}}"))
    project.run()
    return names


def actions(done: dict[str, Any]) -> dict[str, str]:
    return {
        name: response["refresh_action"]
        for name, response in done.items()
        if "refresh_action" in response  # a hook has none
    }


@any_catalog
def test_tables_without_changes_have_no_transaction(
    project: LakeProject, transactions: list[str]
) -> None:
    names = tables(project, 6)
    transactions.clear()
    done = project.run()
    assert actions(done) == dict.fromkeys(names, "NO_DATA")
    assert transactions == ["begin_refresh", "begin_refresh", "begin_reading"]
    pins = {name: response["source_snapshots"] for name, response in done.items()}
    assert pins["totals_0"] == pins["totals_4"]
    assert all(pins.values())


@any_catalog
def test_what_is_asked_does_not_grow_with_the_tables(
    project: LakeProject, asked: Counter[str]
) -> None:
    tables(project, 4)
    found = []
    for count in (4, 12):
        for number in range(4, count):
            project.model(f"totals_{number}", TOTALS.format("{{ source('raw', 'events_0') }}"))
        project.run()
        asked.clear()
        assert list(actions(project.run()).values()) == ["NO_DATA"] * count
        found.append(dict(asked))
    assert found[0] == found[1]
    assert found[0].keys() == {"rows", "aside", "handle"}


# What a model does while it is compiled, on its own connection; only where a variable says so.
WHILE_COMPILED = "{%- if execute and var('does', '') == this.name -%}{%- do __ -%}{%- endif -%}"


def test_a_model_sets_what_its_query_means(project: LakeProject, at_once: None) -> None:
    """What a new connection says is not what its own one says, which is asked then."""
    tables(project, 3)
    does = WHILE_COMPILED.replace("__", "run_query(\"SET TimeZone = 'Asia/Tokyo'\")")
    project.model("totals_1", does + TOTALS.format("{{ source('raw', 'events_1') }}"))
    assert set(actions(project.run()).values()) == {"NO_DATA"}
    done = project.run("--vars", "does: totals_1")
    assert done["totals_1"]["reason_code"] == "DEFINITION_CHANGED"
    assert done["totals_2"]["refresh_action"] == "NO_DATA"


def test_a_hook_sets_what_all_queries_mean(project: LakeProject, at_once: None) -> None:
    tables(project, 3)
    hook = "{% if var('does', '') %} SET GLOBAL TimeZone = 'Asia/Tokyo' {% endif %}"
    project.model("totals_1", TOTALS.format("{{ source('raw', 'events_1') }}"), post_hook=hook)
    assert set(actions(project.run()).values()) == {"NO_DATA"}
    done = project.run("--vars", "does: it")
    assert done["totals_1"]["refresh_action"] == "NO_DATA"
    assert done["totals_2"]["reason_code"] == "DEFINITION_CHANGED"


def test_a_look_that_fails_is_none(
    project: LakeProject, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tables(project, 2)

    def fails(*_: Any) -> None:
        raise duckdb.OutOfMemoryException

    monkeypatch.setattr(RememberingEngine, "remember", fails)
    assert actions(project.run()) == dict.fromkeys(names, "NO_DATA")


@any_catalog
def test_what_has_changed_is_refreshed(project: LakeProject, at_once: None) -> None:
    names = tables(project, 4)
    project.model("above", "SELECT max(total) AS most FROM {{ ref('totals_1') }}")
    project.run()
    project.sql("INSERT INTO raw.events_1 VALUES (1, 1000)")
    wanted = {name: ("NO_DATA", "INCREMENTAL")[int(name[-1]) % 2] for name in names}
    assert actions(project.run()) == {**wanted, "above": "FULL"}
    assert project.sql("FROM main.above") == [(1022,)]
    assert set(actions(project.run()).values()) == {"NO_DATA"}


def _insert(project: LakeProject) -> None:
    project.sql("INSERT INTO main.totals_0 VALUES (9, 9)")


def _drop(project: LakeProject) -> None:
    project.sql("DROP TABLE main.totals_0")


def _replace(project: LakeProject) -> None:
    project.sql("CREATE OR REPLACE TABLE main.totals_0 AS SELECT 1 AS k, 2::BIGINT AS total")


def _other_query(project: LakeProject) -> None:
    project.model("totals_0", TOTALS.format("{{ source('raw', 'events_1') }}"))


def _time_zone(project: LakeProject) -> None:
    project.file(
        "dbt_project.yml",
        (project.folder / "dbt_project.yml").read_text()
        + "on-run-start: \"SET GLOBAL TimeZone = 'Asia/Tokyo'\"\n",
    )


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_insert, "TARGET_MODIFIED"),
        (_drop, "FIRST_BUILD"),
        (_replace, "STATE_STALE"),
        (_other_query, "DEFINITION_CHANGED"),
        (_time_zone, "DEFINITION_CHANGED"),
    ],
)
def test_what_else_may_have_happened(
    project: LakeProject, at_once: None, happens: Callable[[LakeProject], None], reason: str
) -> None:
    tables(project, 2)
    happens(project)
    assert project.run()["totals_0"]["reason_code"] == reason
    assert set(actions(project.run()).values()) == {"NO_DATA"}


def test_a_view_that_was_replaced(project: LakeProject, at_once: None) -> None:
    tables(project, 2)
    project.sql("CREATE VIEW raw.some AS SELECT * FROM raw.events_0 WHERE v > 1")
    project.model("below", TOTALS.format("raw.some"))
    project.run()
    assert set(actions(project.run()).values()) == {"NO_DATA"}
    project.sql("CREATE OR REPLACE VIEW raw.some AS SELECT * FROM raw.events_0 WHERE v > 2")
    assert project.run()["below"]["reason_code"] == "DEFINITION_CHANGED"


def test_what_a_model_builds_shows_in_those_behind_it(project: LakeProject, at_once: None) -> None:
    """What was seen before it was built says that it is as it was."""
    tables(project, 3)
    project.model("behind", "SELECT k, total FROM {{ ref('totals_0') }} WHERE total > 0")
    project.model("plain", "SELECT * FROM {{ ref('behind') }}", materialized="table")
    project.model("last", "SELECT count(*) AS n FROM {{ ref('plain') }}")
    project.run()
    project.sql("INSERT INTO raw.events_0 VALUES (70, 70)")
    done = project.run()
    for name in ("totals_0", "behind"):
        assert done[name]["refresh_action"] == "INCREMENTAL"
    assert project.sql("FROM main.last") == [(21,)]


def test_a_hook_changes_another_table(project: LakeProject, at_once: None) -> None:
    """It is mended in the same run: what was seen before a hook wrote does not count."""
    tables(project, 2)
    events = "{{ source('raw', 'events_0') }}"
    hook = "DELETE FROM main.totals_1 WHERE k = 0"
    project.model("totals_0", TOTALS.format(events), post_hook=hook)
    project.model("totals_1", "-- {{ ref('totals_0') }}\n" + TOTALS.format(events))
    project.run()
    done = project.run()
    assert done["totals_0"]["refresh_action"] == "NO_DATA"
    assert done["totals_1"]["reason_code"] == "TARGET_MODIFIED"


def test_a_hook_of_the_model_itself(project: LakeProject, at_once: None) -> None:
    tables(project, 2)
    project.model(
        "totals_1",
        TOTALS.format("{{ source('raw', 'events_1') }}"),
        pre_hook="DELETE FROM {{ this }} WHERE k = 0",
    )
    done = project.run()
    assert done["totals_1"]["reason_code"] == "TARGET_MODIFIED"


def test_threads(make_project: Callable[..., LakeProject], at_once: None) -> None:
    project = make_project(threads=4)
    names = tables(project, 12)
    project.sql("INSERT INTO raw.events_1 VALUES (1, 1000)")
    done = actions(project.run())
    assert done == {name: ("NO_DATA", "INCREMENTAL")[int(name[7:]) % 2] for name in names}
    assert set(actions(project.run()).values()) == {"NO_DATA"}


def test_who_asks_has_a_turn(
    project: LakeProject, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for what is asked of DuckDB, with a turn in hand that is then waited for."""
    tables(project, 3)
    does = WHILE_COMPILED.replace("__", "run_query('SELECT 1')")  # it is asked in earnest then
    project.model("totals_1", does + TOTALS.format("{{ source('raw', 'events_1') }}"))
    project.run()
    turns: dict[str, list[bool]] = {"functions": [], "at": []}

    def noting(owner: Any, name: str) -> None:
        called = getattr(owner, name)

        def noted(*arguments: Any) -> Any:
            turns[name].append(get_adapter_by_type("dynamic").connections.reads_only())
            return called(*arguments)

        monkeypatch.setattr(owner, name, noted)

    noting(Invocation, "functions")
    noting(Looks, "at")
    assert set(actions(project.run("--vars", "does: totals_1")).values()) == {"NO_DATA"}
    assert turns["functions"] == [True] * 3
    assert turns["at"] == [False] * 3  # who looks takes a turn of its own
