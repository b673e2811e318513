{% macro dynamic_table_recompute_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_recompute_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_recompute_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.rows) }} as
  {{ stage.query }}
{% endmacro %}
