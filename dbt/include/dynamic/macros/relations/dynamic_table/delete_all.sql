{% macro dynamic_table_delete_all_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_delete_all_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_delete_all_sql(stage) %}
  delete from {{ stage.target }}
{% endmacro %}
