-- Bytes of a webhook ($1 in all) in each table that grows with them: rows, large values kept apart, indexes.
with part as (
    select coalesce(pg_partition_root(c.oid), c.oid) as table, pg_relation_size(c.oid) as heap,
           coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast, pg_indexes_size(c.oid) as indexes,
           c.reltuples as tuples
    from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind = 'r'
), whole as (
    select p.table::regclass::text as name, sum(p.heap) / $1::float8 as heap, sum(p.toast) / $1::float8 as toast,
           sum(p.indexes) / $1::float8 as indexes, sum(p.tuples) as tuples
    from part p group by 1
)
select replace(w.name, 'nexus.', ''), w.heap, w.toast, w.indexes
from whole w where w.tuples > $1 / 100
order by w.heap + w.toast + w.indexes desc
