"""dbt-tests-adapter's classes of caching."""

from dbt.tests.adapter.caching.test_caching import (
    BaseCachingLowercaseModel,
    BaseCachingSelectedSchemaOnly,
    BaseCachingUppercaseModel,
    BaseNoPopulateCache,
)
from tests.conformance.marks import unsupported


class TestCachingLowercaseModel(BaseCachingLowercaseModel):
    pass


@unsupported("dbt-duckdb looks names up in lower case, where dbt then asks to rename MODEL")
class TestCachingUppercaseModel(BaseCachingUppercaseModel):
    pass


class TestCachingSelectedSchemaOnly(BaseCachingSelectedSchemaOnly):
    pass


class TestNoPopulateCache(BaseNoPopulateCache):
    pass
