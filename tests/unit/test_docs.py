"""The documents say what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from dbt.adapters.dynamic import config
from dbt.adapters.dynamic.config import DynamicTableConfig
from dbt.adapters.dynamic.query.reasons import Reason
from tests.unit import configuration

ROOT = Path(__file__).parents[2]


def test_every_reason_code_is_documented_once() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/reason-codes.md").read_text(), re.M)
    assert sorted(listed) == sorted(reason.value for reason in Reason)


def test_the_configuration_page_is_what_the_code_says() -> None:
    assert configuration.PAGE.read_text() == configuration.page(), "make docs writes it"


def test_every_key_has_a_meaning_and_accepted_values() -> None:
    described = {field.name for field, _ in configuration._described(DynamicTableConfig)}
    assert described == {field.name for field in dataclasses.fields(DynamicTableConfig)}
    assert described == set(config._READERS)


def test_changelog_has_the_version() -> None:
    from dbt.adapters.dynamic.__version__ import version

    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
