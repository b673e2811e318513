{% macro dynamic_table_commit_message_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_commit_message_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_commit_message_sql(stage) %}
  call {{ dynamic_table_quote(stage.database) }}.set_commit_message(
    'dbt-dynamic',
    '{{ adapter.escape_sql_string(stage.message) }}',
    extra_info => '{{ adapter.escape_sql_string(stage.extra_info) }}'
  )
{% endmacro %}
