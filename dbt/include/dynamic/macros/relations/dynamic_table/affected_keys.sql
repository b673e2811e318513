{% macro dynamic_table_affected_keys_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_affected_keys_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_affected_keys_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.affected) }} as
  {{ stage.query }}
{% endmacro %}
