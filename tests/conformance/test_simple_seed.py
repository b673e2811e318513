"""dbt-tests-adapter's classes of seeds."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path

import pytest

from dbt.tests.adapter.simple_seed import fixtures, seeds
from dbt.tests.adapter.simple_seed.test_seed import (
    BaseBasicSeedTests,
    BaseSeedConfigFullRefreshOff,
    BaseSeedConfigFullRefreshOn,
    BaseSeedCustomSchema,
    BaseSeedParsing,
    BaseSeedSpecificFormats,
    BaseSeedWithEmptyDelimiter,
    BaseSeedWithUniqueDelimiter,
    BaseSeedWithWrongDelimiter,
    BaseSimpleSeedEnabledViaConfig,
    BaseSimpleSeedWithBOM,
    BaseTestEmptySeed,
)
from dbt.tests.adapter.simple_seed.test_seed_type_override import BaseSimpleSeedColumnOverride
from dbt.tests.fixtures.project import TestProjInfo
from tests.conformance.marks import adapted, unsupported

_VIEWS = "DuckDB drops no view when the table below is dropped, which the test looks for"


@unsupported(_VIEWS, "test_simple_seed_full_refresh_flag")
class TestBasicSeed(BaseBasicSeedTests):
    pass


@unsupported(_VIEWS)
class TestSeedConfigFullRefreshOn(BaseSeedConfigFullRefreshOn):
    pass


class TestSeedConfigFullRefreshOff(BaseSeedConfigFullRefreshOff):
    pass


class TestSeedCustomSchema(BaseSeedCustomSchema):
    pass


class TestSeedWithUniqueDelimiter(BaseSeedWithUniqueDelimiter):
    pass


class TestSeedWithWrongDelimiter(BaseSeedWithWrongDelimiter):
    pass


class TestSeedWithEmptyDelimiter(BaseSeedWithEmptyDelimiter):
    pass


class TestSimpleSeedEnabledViaConfig(BaseSimpleSeedEnabledViaConfig):
    pass


class TestSeedParsing(BaseSeedParsing):
    pass


@adapted("the file is the class's other seed with a byte order mark before it")
class TestSimpleSeedWithBOM(BaseSimpleSeedWithBOM):
    @pytest.fixture(scope="class", autouse=True)
    def setUp(self, project: TestProjInfo) -> None:
        project.run_sql(seeds.seeds__expected_sql)
        folder = Path(project.project_root) / "seeds"
        folder.mkdir(exist_ok=True)
        text = BOM_UTF8 + seeds.seed__actual_csv.lstrip().encode()
        (folder / "seed_bom.csv").write_bytes(text)


class TestSeedSpecificFormats(BaseSeedSpecificFormats):
    @pytest.fixture(scope="class")
    def test_data_dir(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder that is not there yet: the class makes and removes it."""
        return tmp_path_factory.mktemp("seeds") / "data"


class TestEmptySeed(BaseTestEmptySeed):
    pass


@adapted("the types are named as DuckDB names them")
class TestSimpleSeedColumnOverride(BaseSimpleSeedColumnOverride):
    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        properties = fixtures.properties__schema_yml
        for theirs, ours in (
            ("text", "character varying(256)"),
            ("date", "DATE"),
            ("integer", "INTEGER"),
            ("boolean", "BOOLEAN"),
            ("timestamp without time zone", "TIMESTAMP"),
        ):
            properties = properties.replace(f"type: {theirs}\n", f"type: {ours}\n")
        return {"schema.yml": properties}
