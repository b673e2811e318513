{% macro dynamic_table_find_rows_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_find_rows_sql', 'dbt')(stage)) }}
{% endmacro %}

{#-
  DuckDB filters a scan by the keys of a join with one "=", before it reads the other columns; so
  the rows that may match are looked for by one column first.
-#}
{% macro default__dynamic_table_find_rows_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.found) }} as
  with changes as materialized (
    select {{ dynamic_table_columns(stage.keys) }}, sum(-dbt_dynamic_weight)::bigint as dbt_dynamic_copies
    from {{ dynamic_table_quote(stage.changes) }} as changes
    {%- if stage.unclear %}
    semi join (
      from {{ dynamic_table_quote(stage.unclear) }} where dbt_dynamic_here > dbt_dynamic_copies
    ) as unclear on {{ dynamic_table_match_keys(stage.unclear_keys, 'unclear', 'changes') }}
    {%- endif %}
    where dbt_dynamic_weight < 0
    group by {{ dynamic_table_columns(stage.keys) }}
  ),
  target as (
    select {{ dynamic_table_columns(stage.keys, 'target') }}, target.rowid as dbt_dynamic_row
    from {{ stage.target }} as target
    {%- if stage.first %}
    semi join changes on {{ dynamic_table_match_keys([stage.first], 'changes', 'target', [stage.first]) }}
    {%- endif %}
  )
  select changes.*, count(*) as dbt_dynamic_here, list(target.dbt_dynamic_row) as dbt_dynamic_rows
  from target join changes on {{ dynamic_table_match_keys(stage.keys, 'changes', 'target') }}
  group by all
{% endmacro %}
