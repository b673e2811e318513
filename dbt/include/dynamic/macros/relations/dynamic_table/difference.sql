{% macro dynamic_table_difference_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_difference_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_difference_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.changes) }} as
  select {{ dynamic_table_columns(stage.columns) }}, sum(weight)::bigint as dbt_dynamic_weight
  from (
    select {{ dynamic_table_columns(stage.columns) }}, 1 as weight
    from {{ dynamic_table_quote(stage.rows) }}
    union all
    select {{ dynamic_table_columns(stage.columns, 'target') }}, -1 as weight
    from {{ stage.target }} as target
    {%- if stage.affected %}
    semi join {{ dynamic_table_quote(stage.affected) }} as affected
      on {{ dynamic_table_match_keys(stage.keys, 'affected', 'target', stage.without_nulls) }}
    {%- endif %}
  )
  group by {{ dynamic_table_columns(stage.columns) }}
  having sum(weight) <> 0
{% endmacro %}
