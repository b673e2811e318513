{#
  dbt run-operation dynamic_table_drop --args '{model: customer_metrics, dry_run: true}'
  The twin of `dbt-dynamic drop --yes`: the table, its state and its kept aggregates go, in one
  transaction; its history stays.
#}
{% macro dynamic_table_drop(model, dry_run=false) %}
  {%- set dropped = adapter.dynamic_table_drop(model, dry_run) -%}
  {% do log(
    ('would drop ' if dry_run else 'dropped ') ~ dropped.name ~ ': ' ~ dropped.parts, info=True
  ) %}
{% endmacro %}
