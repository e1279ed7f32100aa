-- Bytes of each table that has some for every webhook ($1 in all): rows, large values kept apart, indexes.
with part as (
    select coalesce(pg_partition_root(c.oid), c.oid) as table, pg_relation_size(c.oid) as heap,
           coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast, pg_indexes_size(c.oid) as indexes
    from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind = 'r'
), whole as (
    select p.table::regclass::text as name, sum(p.heap) / $1::float8 as heap, sum(p.toast) / $1::float8 as toast,
           sum(p.indexes) / $1::float8 as indexes
    from part p group by 1
)
select replace(w.name, 'nexus.', ''), w.heap, w.toast, w.indexes
from whole w where w.heap + w.toast + w.indexes >= 1
order by w.heap + w.toast + w.indexes desc
