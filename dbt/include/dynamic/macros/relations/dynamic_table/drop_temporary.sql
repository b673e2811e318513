{% macro dynamic_table_drop_temporary_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_drop_temporary_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_drop_temporary_sql(stage) %}
  drop table {{ dynamic_table_quote(stage.name) }}
{% endmacro %}
