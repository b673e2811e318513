{#
  dbt run-operation dynamic_table_validate [--args '{models: [customer_metrics]}']
  The twin of `dbt-dynamic validate`: whether each dynamic table can be refreshed incrementally,
  by which keys, or why not; and whether any read each other in a circle. Looks at no rows.
#}
{% macro dynamic_table_validate(models=none) %}
  {%- set names = [models] if models is string else models -%}
  {%- set validation = adapter.dynamic_table_validate(names) -%}
  {%- for line in validation.lines -%}
    {% do log(line, info=True) %}
  {%- endfor -%}
  {%- if validation.wrong -%}
    {% do exceptions.raise_compiler_error(
      validation.wrong ~ ' of these must be mended before dbt run succeeds.'
    ) %}
  {%- endif -%}
{% endmacro %}
