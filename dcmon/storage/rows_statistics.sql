-- name: categories
-- The order of "C" is that of code points, as in Python.
select number, value
  from (select number, value, row_number() over (partition by number order by value) as position
          from (select distinct c.number, c.value collate "C" as value
                  from {table} cross join lateral (values {items}) c(number, value)
                 where {condition} and c.value is not null) found) ordered
 where position <= {limit}
