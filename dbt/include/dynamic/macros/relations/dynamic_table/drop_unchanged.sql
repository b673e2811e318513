{% macro dynamic_table_drop_unchanged_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_drop_unchanged_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_drop_unchanged_sql(stage) %}
  delete from {{ adapter.quote(stage.rows) }} as changed
  where not exists (
    select 1 from {{ adapter.quote(stage.affected) }} as affected
    where {{ dynamic_table_match_keys(stage.keys, 'affected', 'changed') }}
  )
{% endmacro %}
