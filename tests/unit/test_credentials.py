"""The profile: lakes as the main database, attached beside it, and their names."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.adapters.dynamic.credentials import DynamicCredentials


def _credentials(**output: Any) -> DynamicCredentials:
    data = {"type": "dynamic", "schema": "main", **output}
    return DynamicCredentials.from_dict(DynamicCredentials.translate_aliases(data))


@pytest.mark.parametrize(
    ("path", "database", "extensions"),
    [
        ("ducklake:lake.ducklake", "lake", ["ducklake"]),
        ("ducklake:/some/folder/my_lake.ducklake", "my_lake", ["ducklake"]),
        ("ducklake:metadata.v2.db", "metadata", ["ducklake"]),
        ("ducklake:.hidden", "hidden", ["ducklake"]),
        ("DuckLake:Lake.ducklake", "Lake", ["ducklake"]),
        ("ducklake:duckdb:some/cat.db", "cat", ["ducklake"]),
        ("ducklake:sqlite:x.sqlite", "x", ["sqlite_scanner", "ducklake"]),
        ("ducklake:sqlite:/folder.d/y.sqlite", "y", ["sqlite_scanner", "ducklake"]),
        ("ducklake:postgres:dbname=x host=h", "lake", ["postgres_scanner", "ducklake"]),
    ],
)
def test_a_lake_as_the_main_database(path: str, database: str, extensions: list[str]) -> None:
    credentials = _credentials(path=path)
    assert credentials.type == "dynamic"
    assert credentials.main_is_lake
    assert (credentials.path, credentials.database) == (path, database)
    assert credentials.lakes == {database.lower()}
    assert credentials.needed_extensions == extensions
    (main,) = credentials.attachments
    assert main.to_sql().startswith(f"ATTACH IF NOT EXISTS '{path}' AS \"{database}\"")


@pytest.mark.parametrize(
    "path", ["ducklake:lake.ducklake", "ducklake:sqlite:x.sqlite", "ducklake:postgres:dbname=x"]
)
def test_an_explicit_database_is_the_lakes_name(path: str) -> None:
    credentials = _credentials(path=path, database="Analytics")
    assert credentials.database == "Analytics"
    assert credentials.lakes == {"analytics"}
    assert 'AS "Analytics"' in credentials.attachments[0].to_sql()


def test_where_the_lake_keeps_its_files() -> None:
    sql = _credentials(path="ducklake:a.ducklake", data_path="s3://b/c").attachments[0].to_sql()
    assert "DATA_PATH 's3://b/c'" in sql


def test_a_lake_that_is_attached_with_an_alias() -> None:
    credentials = _credentials(
        path="plain.duckdb",
        attach=[
            {"path": "ducklake:postgres:dbname=x", "alias": "Lake", "options": {"data_path": "f"}},
            {"path": "other.duckdb", "alias": "other"},
        ],
    )
    assert not credentials.main_is_lake
    assert credentials.database == "plain"
    assert credentials.lakes == {"lake"}
    assert credentials.needed_extensions == ["postgres_scanner", "ducklake"]
    assert [attachment.path for attachment in credentials.attachments] == [
        "ducklake:postgres:dbname=x",
        "other.duckdb",
    ]


def test_is_ducklake_says_it_where_the_path_does_not() -> None:
    credentials = _credentials(
        path="plain.duckdb", attach=[{"path": "md:x", "alias": "remote", "is_ducklake": True}]
    )
    assert credentials.lakes == {"remote"}


def test_a_lake_beside_the_main_lake() -> None:
    credentials = _credentials(
        path="ducklake:sqlite:a.sqlite", attach=[{"path": "ducklake:b.ducklake", "alias": "B"}]
    )
    assert credentials.lakes == {"a", "b"}
    assert [attachment.path for attachment in credentials.attachments] == [
        "ducklake:sqlite:a.sqlite",
        "ducklake:b.ducklake",
    ]
    assert credentials.needed_extensions == ["sqlite_scanner", "ducklake"]


@pytest.mark.parametrize("path", [":memory:", "plain.duckdb"])
def test_plain_duckdb(path: str) -> None:
    credentials = _credentials(path=path)
    assert not credentials.main_is_lake
    assert credentials.lakes == frozenset()
    assert credentials.needed_extensions == []
    assert credentials.attachments == []


def test_dbt_debug_shows_where_the_files_are() -> None:
    keys = dict(_credentials(path="ducklake:a.ducklake", data_path="files").connection_info())
    assert keys["data_path"] == "files"
    assert keys["path"] == "ducklake:a.ducklake"


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        ({"path": "ducklake:sqlite:a.sqlite"}, "META_JOURNAL_MODE 'WAL'"),
        ({"path": "ducklake:sqlite:a.sqlite", "options": {"DATA_PATH": "f"}}, "'f', META_JOURNAL"),
        (
            {"path": "ducklake:sqlite:a.sqlite", "options": {"META_JOURNAL_MODE": "DELETE"}},
            "(META_JOURNAL_MODE 'DELETE')",
        ),
        ({"path": "ducklake:sqlite:a.sqlite", "read_only": True}, "(READ_ONLY)"),
        ({"path": "ducklake:a.ducklake"}, "'ducklake:a.ducklake' AS a"),
        ({"path": "ducklake:postgres:dbname=x"}, "'ducklake:postgres:dbname=x' AS a"),
        ({"path": "plain.sqlite", "type": "sqlite"}, "(TYPE sqlite)"),
    ],
)
def test_catalogs_in_sqlite_have_a_write_ahead_log(
    attachment: dict[str, Any], expected: str
) -> None:
    credentials = _credentials(path=":memory:", attach=[{**attachment, "alias": "a"}])
    (sql,) = [one.to_sql() for one in credentials.attachments]
    assert sql.endswith(expected) or expected in sql.partition("AS a")[2]
