{#
  dbt run-operation dynamic_table_explain --args '{model: customer_metrics}'
  The twin of `dbt-dynamic explain`: what the next refresh would do now. Changes nothing.
#}
{% macro dynamic_table_explain(model) %}
  {%- set explanation = adapter.dynamic_table_explain(model) -%}
  {% do log(explanation.dynamic_table ~ ': ' ~ explanation.decision, info=True) %}
  {%- if explanation.affected -%}
    {% do log('affected: ' ~ explanation.affected, info=True) %}
  {%- endif -%}
  {%- for source in explanation.sources -%}
    {% do log('source: ' ~ source.line, info=True) %}
  {%- endfor -%}
  {%- for note in explanation.notes -%}
    {% do log('note: ' ~ note, info=True) %}
  {%- endfor -%}
  {%- for stage in explanation.stages -%}
    {% do log(stage.phase ~ ': ' ~ stage.does ~ '\n' ~ stage.statement, info=True) %}
  {%- endfor -%}
{% endmacro %}
