{% macro dynamic_table_count_changes_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_count_changes_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_count_changes_sql(stage) %}
  select
    coalesce(sum(-dbt_dynamic_weight) filter (where dbt_dynamic_weight < 0), 0) as rows_to_remove,
    coalesce(sum(dbt_dynamic_weight) filter (where dbt_dynamic_weight > 0), 0) as rows_to_add,
    (select count(*) from {{ stage.target }}) as total_rows,
    [
      {%- for key in stage.keys %}
      coalesce(bool_and({{ dynamic_table_quote(key) }} is not null) filter (where dbt_dynamic_weight < 0), true)
      {{- ',' if not loop.last }}
      {%- endfor %}
    ] as without_nulls
  from {{ dynamic_table_quote(stage.changes) }}
{% endmacro %}
