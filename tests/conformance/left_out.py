"""The classes of dbt-tests-adapter that do not run here, and why."""

_GRANTS = "DuckDB has no roles to grant to."
_JAVASCRIPT = "DuckDB has no functions in JavaScript."

LEFT_OUT = {
    "catalog_integrations.BaseCatalogIntegrationValidation": (
        "dbt-duckdb has no catalog integrations; a lake is named by `path` or attached."
    ),
    "functions.BasicJSAggregateUDF": _JAVASCRIPT,
    "functions.BasicJSUDF": _JAVASCRIPT,
    "functions.JSAggregateUDFVolatilityIgnored": _JAVASCRIPT,
    "functions.JSUDFDefaultArgSupport": _JAVASCRIPT,
    "functions.JSUDFDeterministicVolatility": _JAVASCRIPT,
    "functions.JSUDFMultiLineBody": _JAVASCRIPT,
    "functions.JSUDFNonDeterministicVolatility": _JAVASCRIPT,
    "functions.JSUDFStableVolatilityWarns": _JAVASCRIPT,
    "grants.BaseIncrementalGrants": _GRANTS,
    "grants.BaseInvalidGrants": _GRANTS,
    "grants.BaseModelGrants": _GRANTS,
    "grants.BaseSeedGrants": _GRANTS,
    "grants.BaseSnapshotGrants": _GRANTS,
    "python_model.BasePySparkTests": "DuckDB runs Python models in dbt's process, not in Spark.",
}
