{% macro dynamic_table_keep_aggregates_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_keep_aggregates_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_keep_aggregates_sql(stage) %}
  create or replace table {{ stage.target }} as
  from {{ dynamic_table_quote(stage.groups) }}
{% endmacro %}
