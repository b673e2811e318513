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
      case when not bool_or({{ dynamic_table_quote(key) }} is null) filter (where dbt_dynamic_weight < 0)
        then approx_count_distinct({{ dynamic_table_quote(key) }}) filter (where dbt_dynamic_weight < 0) end
      {{- ',' if not loop.last }}
      {%- endfor %}
    ] as values_to_remove
  from {{ dynamic_table_quote(stage.changes) }}
{% endmacro %}
