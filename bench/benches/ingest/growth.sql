-- Copies of what a few webhooks left. Each id becomes another, the same for all who name it, at the same time.

-- A UUIDv7 stays at its time; of others the beginning changes, so that copies are spread over an index as all are.
create function bench.other(id uuid, copy integer) returns uuid
language sql immutable parallel safe as $$
    select case substr(id::text, 15, 1)
        when '7' then overlay(id::text placing lpad(to_hex(copy), 8, '0') from 29 for 8)
        else overlay(id::text placing lpad(to_hex(
            ((copy # (hashtext(id::text)::bigint & 4294967295)) * 1540483477) & 4294967295), 8, '0') from 1 for 8)
    end::uuid
$$;

-- What a column of a copy is made of. Those that say whose a row is stay; what a row carries is left out.
create function bench.copied(name text, attribute pg_attribute) returns text
language sql stable as $$
    select case
        when attribute.attname in ('tenant_id', 'environment_id', 'connector_id', 'flow_id') then format('t.%I', attribute.attname)
        when attribute.attname = 'key_sha256' then 'sha256(t.key_sha256 || int4send(c.copy))'
        when attribute.attname = 'key_value' then 'md5(t.key_value || c.copy)'
        when attribute.attname = 'trace_id' then 'md5(t.trace_id || c.copy)'
        when attribute.atttypid = 'uuid'::regtype then format('bench.other(t.%I, c.copy)', attribute.attname)
        when attribute.atttypid = 'bytea'::regtype then format('%L::bytea', '')
        when attribute.atttypid = 'jsonb'::regtype and attribute.attnotnull then format('%L::jsonb', '{}')
        when attribute.atttypid = 'jsonb'::regtype then 'null'
        else format('t.%I', attribute.attname) end
$$;

-- Tables, and the partitions of those that have any, which hold the rows.
create function bench.holders(name text) returns setof oid
language sql stable as $$
    select t.relid from pg_partition_tree(('nexus.' || name)::regclass) t where t.isleaf
    union select ('nexus.' || name)::regclass
$$;

-- Copies the rows of a table. Its indexes are left out meanwhile, and have to be made anew: that takes a fraction of the time.
create procedure bench.grow(name text, copies integer)
language plpgsql as $$
declare
    columns text;
    values text;
    first integer;
begin
    update pg_index i set indisready = false
    where i.indrelid in (select bench.holders(name)) and i.indrelid in (select c.oid from pg_class c where c.relkind = 'r');
    commit;
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum),
           string_agg(bench.copied(name, a), ', ' order by a.attnum)
    into columns, values
    from pg_attribute a
    where a.attrelid = ('nexus.' || name)::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    execute format('create temporary table seed as select %s from nexus.%I', columns, name);
    for first in select generate_series(1, copies, 100) loop
        execute format('insert into nexus.%I (%s) select %s from seed t, generate_series($1, $2) c(copy)', name, columns, values)
        using first, least(first + 99, copies);
        commit;
    end loop;
    drop table seed;
end;
$$;

-- How many rows of large tables have been read by scans from end to end.
create function bench.scanned() returns bigint
language sql volatile as $$
    select coalesce(sum(s.seq_tup_read), 0)::bigint
    from pg_stat_user_tables s
    where s.schemaname = 'nexus' and (select c.reltuples from pg_class c where c.oid = s.relid) > 100000
$$;
