"""The command ``dbt-dynamic``; one module per command."""
