{#- Run one stage of a refresh: render its statement, show it in target/run, hand the result back. -#}
{% macro dynamic_table_execute(refresh, stage) %}
  {%- set sql -%}
    {{ context['dynamic_table_' ~ stage.kind ~ '_sql'](stage) }}
  {%- endset -%}
  {% do refresh.begin(sql) %}
  {% do write(refresh.script) %}
  {% do refresh.done(stage, adapter.dynamic_table_rows(sql)) %}
{% endmacro %}


{#- A quoted name: adapter.quote leaves double quotes within it as they are. -#}
{% macro dynamic_table_quote(name) -%}
  "{{ name | replace('"', '""') }}"
{%- endmacro %}


{#-
  Keys match like groups: NULL is a key like any other. Without keys everything is one group.
  Where the left side is known to hold no NULL, "=" means the same, and DuckDB filters the scan of
  the right side by it.
-#}
{% macro dynamic_table_match_keys(keys, left, right, without_nulls=()) %}
  {%- for key in keys -%}
    {{ left }}.{{ dynamic_table_quote(key) }} {{ '=' if key in without_nulls else 'is not distinct from' }} {{ right }}.{{ dynamic_table_quote(key) }}
    {%- if not loop.last %} and {% endif -%}
  {%- else -%}
    true
  {%- endfor -%}
{% endmacro %}


{#- A quoted list of columns. -#}
{% macro dynamic_table_columns(columns, table=none) %}
  {%- for column in columns -%}
    {%- if table %}{{ table }}.{% endif -%}
    {{ dynamic_table_quote(column) }}{% if not loop.last %}, {% endif %}
  {%- endfor -%}
{% endmacro %}
