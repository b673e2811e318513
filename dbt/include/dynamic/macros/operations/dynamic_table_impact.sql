{#
  dbt run-operation dynamic_table_impact --args '{sources: [raw.orders]}'
  The twin of `dbt-dynamic impact`: which dynamic tables a change of these reaches, in order.
#}
{% macro dynamic_table_impact(sources) %}
  {%- set names = [sources] if sources is string else sources -%}
  {%- for reached in adapter.dynamic_table_impact(names) -%}
    {% do log(loop.index ~ '. ' ~ reached.line, info=True) %}
  {%- else -%}
    {% do log('no dynamic tables are reached', info=True) %}
  {%- endfor -%}
{% endmacro %}
