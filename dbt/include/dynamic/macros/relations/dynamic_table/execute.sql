{#- Run one stage of a refresh: render its statement, show it in target/run, hand the result back. -#}
{% macro dynamic_table_execute(refresh, stage) %}
  {%- set sql -%}
    {{ context['dynamic_table_' ~ stage.kind ~ '_sql'](stage) }}
  {%- endset -%}
  {% do refresh.begin(sql) %}
  {% do write(refresh.script) %}
  {% call statement(stage.kind, fetch_result=True) %}{{ sql }}{% endcall %}
  {% do refresh.done(stage, load_result(stage.kind).table) %}
{% endmacro %}


{#- Keys match like groups: NULL is a key like any other. -#}
{% macro dynamic_table_match_keys(keys, left, right) %}
  {%- for key in keys -%}
    {{ left }}.{{ adapter.quote(key) }} is not distinct from {{ right }}.{{ adapter.quote(key) }}
    {%- if not loop.last %} and {% endif -%}
  {%- endfor -%}
{% endmacro %}


{#- A quoted list of columns. -#}
{% macro dynamic_table_columns(columns) %}
  {%- for column in columns -%}
    {{ adapter.quote(column) }}{% if not loop.last %}, {% endif %}
  {%- endfor -%}
{% endmacro %}
