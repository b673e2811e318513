select
    id as payment_id,
    order_id,
    payment_method,
    cast(amount / 100.0 as decimal(16, 2)) as amount -- it is kept in cents
from {{ ref('raw_payments') }}
