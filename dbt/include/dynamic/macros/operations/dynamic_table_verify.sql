{#
  dbt run-operation dynamic_table_verify [--args '{models: [customer_metrics]}']
  Recomputes each dynamic table at its recorded pins and compares both ways; without models it
  also compares the kept copies of sources with change_tracking: timestamp. Changes nothing.
#}
{% macro dynamic_table_verify(models=none) %}
  {%- set names = [models] if models is string else models -%}
  {%- set different = [] -%}
  {%- for verified in adapter.dynamic_table_verify(names, graph) -%}
    {% do log(verified.line, info=True) %}
    {%- for example in verified.examples -%}
      {% do log('    ' ~ example, info=True) %}
    {%- endfor -%}
    {%- if verified.status == 'DIFFERENT' -%}
      {% do different.append(verified.dynamic_table) %}
    {%- endif -%}
  {%- endfor -%}
  {%- if different -%}
    {% do exceptions.raise_compiler_error(
      'not equal to their queries: ' ~ different | join(', ')
      ~ '. dbt run --full-refresh --select <model> rebuilds a table.'
    ) %}
  {%- endif -%}
{% endmacro %}
