{% macro dynamic_table_bookkeeping_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_bookkeeping_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_bookkeeping_sql(stage) %}
  {{ stage.statement }}
{% endmacro %}
