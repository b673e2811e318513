{% macro dynamic_table_delete_rows_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_delete_rows_sql', 'dbt')(stage)) }}
{% endmacro %}

{#- A row may have copies: no more than the right number goes. -#}
{% macro default__dynamic_table_delete_rows_sql(stage) %}
  delete from {{ stage.target }}
  where rowid in (
    {%- for found in stage.found %}
    select unnest(dbt_dynamic_rows[1:dbt_dynamic_copies]) from {{ dynamic_table_quote(found) }}
    {%- if not loop.last %}
    where dbt_dynamic_here <= dbt_dynamic_copies
    union all
    {%- endif %}
    {%- endfor %}
  )
{% endmacro %}
