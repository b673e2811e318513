with corrections as (
    select *, row_number() over (partition by tailnum order by year desc nulls last) as version
    from {{ source('raw', 'planes') }}
)

select tailnum, manufacturer, model, seats
from corrections
where version = 1
