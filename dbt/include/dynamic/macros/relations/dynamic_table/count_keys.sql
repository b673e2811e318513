{% macro dynamic_table_count_keys_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_count_keys_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_count_keys_sql(stage) %}
  select
    count(*) as affected_keys,
    {% if not stage.keys -%}
    1
    {%- elif stage.unique -%}
    (select count(*) from {{ stage.target }})
    {%- else -%}
    (select count(*) from (select distinct {{ dynamic_table_columns(stage.keys) }} from {{ stage.target }}))
    {%- endif %} as total_keys,
    [{% for key in stage.keys %}count({{ dynamic_table_quote(key) }}) = count(*){{ ', ' if not loop.last }}{% endfor %}] as without_nulls
  from {{ dynamic_table_quote(stage.affected) }}
{% endmacro %}
