{% macro dynamic_table_feed_sql(stage) %}
  {{ return(adapter.dispatch('dynamic_table_feed_sql', 'dbt')(stage)) }}
{% endmacro %}

{% macro default__dynamic_table_feed_sql(stage) %}
  create temporary table {{ dynamic_table_quote(stage.feed) }} as
  {{ stage.query }}
{% endmacro %}
