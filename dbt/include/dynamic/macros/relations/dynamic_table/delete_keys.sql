{% macro dynamic_table_delete_keys_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_delete_keys_sql', 'dbt')(stage)) }}
{% endmacro %}

{#-
  A join, each key being there once: DuckDB makes a filter of the scan of its keys, and DuckLake
  opens only the files that may hold them. Of a correlated EXISTS it makes none.
-#}
{% macro default__dynamic_table_delete_keys_sql(stage) %}
  delete from {{ stage.target }} as target
  using {{ dynamic_table_quote(stage.affected) }} as affected
  where {{ dynamic_table_match_keys(stage.keys, 'affected', 'target', stage.without_nulls) }}
{% endmacro %}
