{% macro dynamic_table_count_uncertain_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_count_uncertain_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_count_uncertain_sql(stage) %}
  select count(*) as uncertain
  from {{ dynamic_table_quote(stage.merged) }}
  where not dbt_dynamic_certain
{% endmacro %}
