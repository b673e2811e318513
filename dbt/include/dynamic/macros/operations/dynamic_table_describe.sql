{#
  dbt run-operation dynamic_table_describe --args '{model: customer_metrics}'
  The twin of `dbt-dynamic describe`: definition, keys, sources, configuration, last refreshes.
#}
{% macro dynamic_table_describe(model) %}
  {%- set described = adapter.dynamic_table_describe(model) -%}
  {% do log(described.table.line, info=True) %}
  {% do log('keys: ' ~ (described.keys | join(', ') or 'none'), info=True) %}
  {%- for source in described.sources -%}
    {% do log('source: ' ~ source.line, info=True) %}
  {%- endfor -%}
  {%- for name, value in described.configuration.items() -%}
    {% do log(name ~ ': ' ~ value, info=True) %}
  {%- endfor -%}
  {%- for refreshed in described.history -%}
    {% do log('refresh: ' ~ refreshed.line, info=True) %}
  {%- endfor -%}
  {% do log('definition:\n' ~ described.definition, info=True) %}
{% endmacro %}
