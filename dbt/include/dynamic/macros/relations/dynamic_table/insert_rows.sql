{% macro dynamic_table_insert_rows_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_insert_rows_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_insert_rows_sql(stage) %}
  insert into {{ stage.target }} ({{ dynamic_table_columns(stage.columns) }})
  select {{ dynamic_table_columns(stage.columns, 'changes') }}
  from {{ dynamic_table_quote(stage.changes) }} as changes, range(dbt_dynamic_weight) as copies
  where dbt_dynamic_weight > 0
{% endmacro %}
