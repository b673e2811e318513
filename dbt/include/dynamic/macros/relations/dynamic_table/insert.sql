{% macro dynamic_table_insert_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_insert_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_insert_sql(stage) %}
  insert into {{ stage.target }} ({{ dynamic_table_columns(stage.columns) }})
  {{ stage.query }}
{% endmacro %}
