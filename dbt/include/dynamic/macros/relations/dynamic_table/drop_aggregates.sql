{% macro dynamic_table_drop_aggregates_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_drop_aggregates_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_drop_aggregates_sql(stage) %}
  drop table {{ stage.target }}
{% endmacro %}
