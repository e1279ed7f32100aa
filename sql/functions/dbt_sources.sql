-- What the catalogue says of the commerce model, in the form in which dbt reads it.

create function nexus.dbt_sources() returns text
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    with relation as (
        select c.oid, c.relname, c.relkind, obj_description(c.oid, 'pg_class') as description
        from pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'v') and not c.relispartition
          and (c.relname in ('connector', 'vocabulary') or c.relname like 'v\_%' or c.relname like '%\_source'
               -- Golden entities have a version, and their child rows refer to them.
               or exists (select from pg_attribute a
                          where a.attname = 'entity_version'
                            and (a.attrelid = c.oid or a.attrelid in (select k.confrelid from pg_constraint k where k.conrelid = c.oid))))
    ), test as (
        select a.attrelid, a.attnum, 1 as place, '              - not_null' as lines
        from pg_attribute a where a.attnotnull and not a.attisdropped
        union all
        -- Within a tenant, which is all that a login sees.
        select k.conrelid, a.attnum, 2, '              - unique'
        from pg_constraint k
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey) and a.attname <> 'tenant_id'
        where k.contype = 'p' and cardinality(k.conkey) = 2
          and exists (select from pg_attribute t where t.attrelid = k.conrelid and t.attname = 'tenant_id')
        union all
        select k.conrelid, k.conkey[1], 3, concat(
            e'              - accepted_values:\n                  values: [', string_agg(to_json(v.value[1])::text, ', ' order by v.n), ']')
        from pg_constraint k
        cross join lateral regexp_matches(pg_get_constraintdef(k.oid), '''([^'']*)''::text', 'g') with ordinality as v(value, n)
        where k.contype = 'c' and cardinality(k.conkey) = 1 and pg_get_constraintdef(k.oid) like 'CHECK (% = ANY (ARRAY[%'
        group by k.oid, k.conrelid, k.conkey
        union all
        select k.conrelid, a.attnum, 4, concat(
            e'              - relationships:\n                  to: source(''nexus'', ''', f.relname, e''')\n                  field: ', r.attname)
        from pg_constraint k
        join pg_class f on f.oid = k.confrelid
        cross join lateral unnest(k.conkey, k.confkey) as u(own, other)
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.own and a.attname <> 'tenant_id'
        join pg_attribute r on r.attrelid = k.confrelid and r.attnum = u.other
        where k.contype = 'f' and f.oid in (select oid from relation)
    ), field as (
        select a.attrelid, a.attnum, concat_ws(e'\n',
            '          - name: ' || a.attname,
            '            data_type: ' || format_type(a.atttypid, a.atttypmod),
            '            description: ' || to_json(col_description(a.attrelid, a.attnum))::text,
            (select e'            data_tests:\n' || string_agg(t.lines, e'\n' order by t.place)
             from test t where t.attrelid = a.attrelid and t.attnum = a.attnum)) as lines
        from pg_attribute a
        where a.attrelid in (select oid from relation) and a.attnum > 0 and not a.attisdropped
    )
    select concat(e'# Made by `nexus admin dbt-sources` from the comments and constraints of the database.\nversion: 2\n\nsources:\n',
        e'  - name: nexus\n    schema: nexus\n    description: ', to_json(obj_description('nexus'::regnamespace, 'pg_namespace')),
        e'\n    tables:\n',
        string_agg(concat('      - name: ', r.relname, e'\n        description: ', to_json(r.description), e'\n        columns:\n',
                          (select string_agg(f.lines, e'\n' order by f.attnum) from field f where f.attrelid = r.oid)),
                   e'\n' order by r.relname collate "C"), e'\n')
    from relation r
$$;
comment on function nexus.dbt_sources() is
    'sources.yml for dbt: the commerce model and the views with their descriptions, and tests for what the database''s constraints hold.';
