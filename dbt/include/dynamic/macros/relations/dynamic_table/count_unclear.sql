{% macro dynamic_table_count_unclear_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_count_unclear_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_count_unclear_sql(stage) %}
  select count(*) as unclear
  from {{ dynamic_table_quote(stage.found) }}
  where dbt_dynamic_here > dbt_dynamic_copies
{% endmacro %}
