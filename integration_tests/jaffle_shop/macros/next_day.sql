{#
  dbt run-operation next_day
  What a day brings to the raw tables: a new customer and two orders, a late payment of an old order,
  an order that moves on, a name that is corrected, and an order that is taken back.
#}
{% macro next_day() %}
  {% set statements %}
    insert into {{ ref('raw_customers') }} values (31, 'Emil', 'T.');
    insert into {{ ref('raw_orders') }} values
      (61, 31, date '2024-02-01', 'placed'), (62, 4, date '2024-02-01', 'placed');
    insert into {{ ref('raw_payments') }} values
      (1001, 61, 'credit_card', 1800), (1002, 62, 'coupon', 500), (1003, 3, 'gift_card', 700);
    update {{ ref('raw_orders') }} set status = 'completed' where id = 58;
    update {{ ref('raw_customers') }} set last_name = 'Z.' where id = 12;
    delete from {{ ref('raw_payments') }} where order_id = 60;
    delete from {{ ref('raw_orders') }} where id = 60
  {% endset %}
  {% for statement in statements.split(';') %}
    {% do run_query(statement) %}
  {% endfor %}
  {% do log('a day has passed', info=True) %}
{% endmacro %}
