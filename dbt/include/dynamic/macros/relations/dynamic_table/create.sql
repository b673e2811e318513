{% macro dynamic_table_create_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_create_sql', 'dbt')(stage)) }}
{% endmacro %}

{#- dbt-duckdb's own statement, so that contracts, partitioning and sorting are as for a table. -#}
{% macro default__dynamic_table_create_sql(stage) %}
  {{ create_table_as(
    False,
    stage.target,
    stage.query,
    partitioned_by=duckdb__get_partitioned_by(stage.target, false),
    sorted_by=duckdb__get_sorted_by(stage.target, false)
  ) }}
{% endmacro %}
