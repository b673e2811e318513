{% macro dynamic_table_check_unique_key_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_check_unique_key_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_check_unique_key_sql(stage) %}
  select {{ dynamic_table_columns(stage.keys) }}, count(*) as rows_of_the_key
  from {{ stage.target }} as target
  {%- if stage.changes %}
  where exists (
    select 1 from {{ dynamic_table_quote(stage.changes) }} as changes
    where dbt_dynamic_weight > 0
      and {{ dynamic_table_match_keys(stage.keys, 'changes', 'target') }}
  )
  {%- endif %}
  group by {{ dynamic_table_columns(stage.keys) }}
  having count(*) > 1
  limit 1
{% endmacro %}
