{#
  Orchestration only: what a refresh does is decided by the adapter, one stage at a time, and each
  stage is one statement, written by its macro in ../relations/dynamic_table/.
  The call block runs inside a transaction that the adapter begins, commits, and tries again after
  a conflict.
#}
{% materialization dynamic_table, adapter='dynamic', supported_languages=['sql'] %}

  {%- set target_relation = this.incorporate(type='table') -%}
  {%- set dynamic_config = adapter.dynamic_table_config(model, target_relation) -%}

  {% if not adapter.is_ducklake(target_relation) %}
    {#- refresh_mode: full on a database without snapshots is what a table is -#}
    {{ return(context['materialization_table_duckdb']()) }}
  {% endif %}

  {%- set grant_config = config.get('grants') -%}

  {#- Hooks have transactions of their own: what one writes to the table must show as somebody
      else's change, and what it writes to a source must have a snapshot. -#}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {% do adapter.commit() %}

  {%- set attempt = namespace(refresh=none) -%}
  {%- set partial = true if flags.EMPTY or flags.SAMPLE else false -%}
  {% call(refresh) adapter.refresh_dynamic_table(
    model, target_relation, compiled_code, dynamic_config, should_full_refresh(), partial,
    graph
  ) %}
    {% set attempt.refresh = refresh %}
    {% for stage in refresh.stages() %}
      {% do dynamic_table_execute(refresh, stage) %}
    {% endfor %}
    {% if refresh.decision.strategy.value == 'full' %}
      {% do persist_docs(target_relation, model) %}
    {% endif %}
  {% endcall %}

  {% if attempt.refresh.decision.action.value != 'SKIPPED' %}
    {% call(descriptions) adapter.describe_dynamic_table(model, target_relation) %}
      {% do dynamic_table_write_descriptions(target_relation, descriptions) %}
    {% endcall %}
  {% endif %}

  {% do store_result('main', response=attempt.refresh.response) %}
  {% do apply_grants(target_relation, grant_config, should_revoke=false) %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do adapter.commit() %}
  {{ run_hooks(post_hooks, inside_transaction=False) }}

  {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}
