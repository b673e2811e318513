{#
  dbt run-operation dynamic_table_list
  The twin of `dbt-dynamic list`: every dynamic table with its status, last refresh, age and rows.
#}
{% macro dynamic_table_list() %}
  {%- for one in adapter.dynamic_table_list() -%}
    {% do log(one.line, info=True) %}
  {%- else -%}
    {% do log('no dynamic tables; dbt run builds them', info=True) %}
  {%- endfor -%}
{% endmacro %}
