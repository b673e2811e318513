{#
  dbt run-operation dynamic_table_history
    [--args '{model: customer_metrics, state: failed, since: 2 days, limit: 10}']
  The twin of `dbt-dynamic history`: the refreshes, the newest first.
#}
{% macro dynamic_table_history(model=none, state=none, since=none, limit=50) %}
  {%- for refreshed in adapter.dynamic_table_history(model, state, since, limit) -%}
    {% do log(refreshed.line, info=True) %}
  {%- else -%}
    {% do log('no refreshes', info=True) %}
  {%- endfor -%}
{% endmacro %}
