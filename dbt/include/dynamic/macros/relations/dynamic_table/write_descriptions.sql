{#- Comments on a table that is there, by the macros that dbt comments a new one with. -#}
{% macro dynamic_table_write_descriptions(relation, descriptions) %}
  {% if descriptions.table is not none %}
    {% do run_query(alter_relation_comment(relation, descriptions.table)) %}
  {% endif %}
  {% if descriptions.columns %}
    {% do run_query(alter_column_comment(relation, descriptions.columns)) %}
  {% endif %}
{% endmacro %}
