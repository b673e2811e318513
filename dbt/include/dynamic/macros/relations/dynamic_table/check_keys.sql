{% macro dynamic_table_check_keys_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_check_keys_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_check_keys_sql(stage) %}
  select count(*) as repeated_keys from (
    select 1 from {{ stage.target }} as target
    semi join {{ dynamic_table_quote(stage.affected) }} as affected
      on {{ dynamic_table_match_keys(stage.keys, 'affected', 'target', stage.without_nulls) }}
    {% if stage.keys %}group by {{ dynamic_table_columns(stage.keys, 'target') }}{% endif %}
    having count(*) > 1
  )
{% endmacro %}
