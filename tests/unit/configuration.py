"""The configuration reference: what `DynamicTableConfig` and `DynamicCredentials` accept.

``python -m tests.unit.configuration`` writes the page of the docs. Meanings are the attributes in
the docstrings of these classes, defaults those of their fields, and the accepted values what the
error messages name.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.dynamic import config
from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.maintenance.report import RETENTIONS
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_PAGE = """# Configuration

This page is written from the code (`make docs`).

## Of a model

`materialized: dynamic_table`, and as many of these as you like, in the model's `config(…)`, in a
properties file, or with a `+` for a folder of models in `dbt_project.yml`:

{model}

A mistyped key or value fails before any SQL runs, and the message says what is accepted. Keys of
your own go under `meta`. Where to read more: [`consistency`](consistency.md),
[`on_schema_change`](sources.md#changed-columns),
[`cardinality_threshold`](reason-codes.md#the-decision). `target_lag` is for schedulers: `dbt run`
always refreshes.

As everywhere in dbt: `full_refresh`, `contract`, `grants`, `persist_docs`, hooks, tags, aliases,
`schema`, `database`, `enabled`, `meta`. As in dbt-duckdb on DuckLake: {duckdb}.

Accepted, so that a model of dbt-snowflake runs unchanged, and without effect here: {snowflake}.

Refused, since ignoring them would be wrong:

{refused}

## Of a source, or of an upstream model

Under `meta`, or `config.meta`: `change_tracking`, one of {tracking}; for `timestamp` also dbt's
`loaded_at_field`. The default is `feed` for what lives in a lake, else `none`.
[Sources](sources.md#tables-without-history-change_tracking) says what each does.

## Of a profile

`type: dynamic`, `path`, and as many of these as you like:

{profile}

Every other key is dbt-duckdb's, and means what it means there: {profile_duckdb}; and dbt's own
`threads`.

A lake is the main database if `path` begins with `ducklake:`. Another one is attached with
`attach` (`path`, `alias`, `options`), and a model goes there with `database: ALIAS`. The word
after `ducklake:` says where the catalog is kept: a file (`ducklake:lake.ducklake`),
`ducklake:sqlite:lake.sqlite` or `ducklake:postgres:dbname=…`.
"""


def page() -> str:
    """The text of the page."""
    model = _table(
        (f"`{key}`", default, accepted, meaning) for key, default, accepted, meaning in _model()
    )
    profile = _table(
        (f"`{field.name}`", _written(field.default), _kind(field.name), meaning)
        for field, meaning in _described(DynamicCredentials)
    )
    refused = [f"| `{key}` | {remedy} |" for key, remedy in config.REFUSED_KEYS.items()]
    return _PAGE.format(
        model=model,
        duckdb=_words(config._DUCKDB_KEYS),
        snowflake=_words(config.SNOWFLAKE_KEYS),
        refused="\n".join(["| key | instead |", "|---|---|", *refused]),
        tracking=_words(one.value for one in ChangeTracking),
        profile=profile,
        profile_duckdb=_words(
            field.name for field in dataclasses.fields(DuckDBCredentials) if field.name != "type"
        ),
    )


def _model() -> Iterable[tuple[str, str, str, str]]:
    for field, meaning in _described(DynamicTableConfig):
        read, accepted = config._READERS[field.name]
        # Seconds inside, a duration as the user writes it.
        default = f"{field.default:g}s" if read is config._wait else field.default
        yield field.name, _written(default), accepted, meaning
    # Keys of which only some values are built, as long as there are any.
    for key, (allowed, why) in getattr(config, "_UNSUPPORTED_VALUES", {}).items():
        yield key, _written(allowed[0]), ", ".join(allowed), why


def _described(owner: type) -> list[tuple[dataclasses.Field[Any], str]]:
    """The fields that the class's docstring describes, with the description."""
    text = inspect.getdoc(owner) or ""
    attributes = text.split("Attributes:\n", 1)[1]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    fields = {field.name: field for field in dataclasses.fields(owner)}
    return [(fields[name], _plain(meaning)) for name, meaning in found]


def _plain(meaning: str) -> str:
    """A docstring's words for a reader of the page, to whom nothing is None."""
    words = re.sub(r"\s+", " ", meaning).replace("``", "`").rstrip(".")
    return words.replace(", as written, or None", "").replace(", in seconds", "")


def _kind(key: str) -> str:
    return "a duration such as '30 days' or '12 hours'" if key in RETENTIONS else "a path"


def _written(default: Any) -> str:
    """A default as a user would write it."""
    if default is None or default == ():
        return "none"
    value = default.value if isinstance(default, Enum) else default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    head = ["| key | default | accepted | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
