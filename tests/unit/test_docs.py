"""The documents say what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from dbt.adapters.dynamic import config
from dbt.adapters.dynamic.cli.main import cli
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


def test_every_command_that_is_shown_exists() -> None:
    """With each of its options; those of dbt itself are dbt's."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    names = "|".join(cli.commands)
    shown = re.findall(
        rf"dbt-dynamic ((?:{names})\b[^`#\n|]*)", "\n".join(page.read_text() for page in pages)
    )
    assert {text.split()[0] for text in shown} == set(cli.commands)
    for text in shown:
        name, *rest = text.split()
        known = {option for one in cli.commands[name].params for option in one.opts}
        assert {word.strip(",.;)") for word in rest if word.startswith("--")} <= known, text


def test_every_error_of_the_troubleshooting_page_is_one() -> None:
    """As the code or the library says it; "…" stands for what differs."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    errors = page[page.index("## Errors") : page.index("## It is slow")]
    messages = [
        part.strip(" `'")
        for line in re.findall(r"^- (`.*`)  $", errors, re.M)
        for part in re.split(r"…|`, `", line)
        if len(part.strip(" `'")) > 3
    ]
    assert len(messages) > 10
    code = "\n".join(path.read_text() for path in (ROOT / "dbt/adapters/dynamic").rglob("*.py"))
    # A message is written over several lines, with what differs in braces.
    joined = re.sub(r'"\s*f?"', "", code).lower()
    assert [one for one in messages if one.lower() not in re.sub(r"{[^}]*}", "X", joined)] == []
