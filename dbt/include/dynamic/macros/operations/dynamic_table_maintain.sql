{#
  dbt run-operation dynamic_table_maintain [--args '{dry_run: true, lakes: [lake], alone: true}']
  The twin of `dbt-dynamic maintain`; the profile's retentions can be given here, too:
  history_retention, snapshot_retention, file_retention; and delete_orphans: true.
#}
{% macro dynamic_table_maintain(
  dry_run=false, lakes=none, alone=false, history_retention=none, snapshot_retention=none,
  file_retention=none, delete_orphans=false
) %}
  {%- set steps = adapter.dynamic_table_maintain(
    dry_run, lakes, alone, delete_orphans, history_retention=history_retention,
    snapshot_retention=snapshot_retention, file_retention=file_retention
  ) -%}
  {%- for step in steps -%}
    {% do log(step.said(dry_run), info=True) %}
  {%- else -%}
    {% do log('nothing to maintain', info=True) %}
  {%- endfor -%}
  {%- set failed = steps | selectattr('failed') | list -%}
  {%- if failed -%}
    {% do exceptions.raise_compiler_error(
      failed | length ~ ' of these could not be done; all others were.'
    ) %}
  {%- endif -%}
{% endmacro %}
