{% macro dynamic_table_count_keys_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_count_keys_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_count_keys_sql(stage) %}
  select
    (select count(*) from {{ adapter.quote(stage.affected) }}) as affected_keys,
    (select count(*) from {{ stage.target }}) as total_keys
{% endmacro %}
