{% macro dynamic_table_delete_rows_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_delete_rows_sql', 'dbt')(stage)) }}
{% endmacro %}

{#- A row may have copies: each is numbered, so that no more than the right number goes. -#}
{% macro default__dynamic_table_delete_rows_sql(stage) %}
  delete from {{ stage.target }}
  where rowid in (
    select row_id
    from (
      select
        target.rowid as row_id,
        -changes.dbt_dynamic_weight as copies_to_remove,
        row_number() over (partition by changes.rowid) as copy
      from {{ stage.target }} as target
      join {{ dynamic_table_quote(stage.changes) }} as changes
        on {{ dynamic_table_match_keys(stage.keys, 'changes', 'target', stage.without_nulls) }}
      where changes.dbt_dynamic_weight < 0
    )
    where copy <= copies_to_remove
  )
{% endmacro %}
