{% macro dynamic_table_changed_rows_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_changed_rows_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_changed_rows_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.changes) }} as
  {{ stage.query }}
{% endmacro %}
