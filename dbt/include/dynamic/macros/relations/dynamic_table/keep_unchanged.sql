{% macro dynamic_table_keep_unchanged_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_keep_unchanged_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_keep_unchanged_sql(stage) %}
  delete from {{ adapter.quote(stage.affected) }} as affected
  using (
    select {{ dynamic_table_columns(stage.columns) }} from {{ adapter.quote(stage.rows) }}
    intersect all
    select {{ dynamic_table_columns(stage.columns) }} from {{ stage.target }}
  ) as unchanged
  where {{ dynamic_table_match_keys(stage.keys, 'affected', 'unchanged') }}
{% endmacro %}
