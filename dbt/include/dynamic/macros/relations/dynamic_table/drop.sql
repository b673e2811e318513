{% macro dynamic_table_drop_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_drop_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_drop_sql(stage) %}
  drop {{ stage.relation_type }} {{ stage.target }}
{% endmacro %}
