"""The classes of dbt-tests-adapter that do not run here, and why."""

_GRANTS = "DuckDB has no roles to grant to."
_JAVASCRIPT = "DuckDB has no functions in JavaScript."
_FUNCTIONS = "dbt-duckdb has no macros for dbt's resource type `function`: see `UDFsBasic`."

LEFT_OUT = {
    "basic.BaseGetCatalogForSingleRelation": (
        "dbt-duckdb does not have this optional method of an adapter."
    ),
    "functions.BasicJSAggregateUDF": _JAVASCRIPT,
    "functions.BasicJSUDF": _JAVASCRIPT,
    "functions.JSAggregateUDFVolatilityIgnored": _JAVASCRIPT,
    "functions.JSUDFDefaultArgSupport": _JAVASCRIPT,
    "functions.JSUDFDeterministicVolatility": _JAVASCRIPT,
    "functions.JSUDFMultiLineBody": _JAVASCRIPT,
    "functions.JSUDFNonDeterministicVolatility": _JAVASCRIPT,
    "functions.JSUDFStableVolatilityWarns": _JAVASCRIPT,
    "functions.BasicPythonUDAF": _FUNCTIONS,
    "functions.BasicSQLUDAF": _FUNCTIONS,
    "functions.CanFindScalarFunctionRelation": _FUNCTIONS,
    "functions.DeterministicUDF": _FUNCTIONS,
    "functions.ErrorForUnsupportedType": _FUNCTIONS,
    "functions.NonDeterministicUDF": _FUNCTIONS,
    "functions.PythonUDAFDefaultArgSupport": _FUNCTIONS,
    "functions.PythonUDFDefaultArgSupport": _FUNCTIONS,
    "functions.PythonUDFEntryPointRequired": _FUNCTIONS,
    "functions.PythonUDFNotSupported": _FUNCTIONS,
    "functions.PythonUDFRuntimeVersionRequired": _FUNCTIONS,
    "functions.PythonUDFSupported": _FUNCTIONS,
    "functions.PythonUDFVolatilitySupport": _FUNCTIONS,
    "functions.PythonUDFWithPackagesSupported": _FUNCTIONS,
    "functions.UDAFBase": _FUNCTIONS,
    "functions.SqlUDFDefaultArgSupport": _FUNCTIONS,
    "functions.StableUDF": _FUNCTIONS,
    "grants.BaseIncrementalGrants": _GRANTS,
    "grants.BaseInvalidGrants": _GRANTS,
    "grants.BaseModelGrants": _GRANTS,
    "grants.BaseSeedGrants": _GRANTS,
    "grants.BaseSnapshotGrants": _GRANTS,
    "python_model.BasePySparkTests": "DuckDB runs Python models in dbt's process, not in Spark.",
    "utils.BaseCurrentTimestampNaive": (
        "The other of two: DuckDB's current timestamp has a time zone, "
        "`BaseCurrentTimestampAware`."
    ),
    "utils.BaseEscapeSingleQuotesBackslash": (
        "The other of two: DuckDB escapes a quote with a quote, `BaseEscapeSingleQuotesQuote`."
    ),
}
