-- The end of things: a tenant's copy, a tenant's end, and a tenant's tables in the order in which they can go.

create function nexus._tenant_tables() returns text[]
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    ordered text[] := '{}';
    remaining text[] := array(
        select c.relname::text from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        order by c.relname);
    free text[];
begin
    -- Those that nothing remaining refers to go first. Derived from the catalogue, so that a new table is never
    -- forgotten.
    while remaining <> '{}' loop
        free := array(
            select t from unnest(remaining) t
            where not exists (
                select from pg_constraint k
                where k.contype = 'f' and k.confrelid = ('nexus.' || quote_ident(t))::regclass and k.conrelid <> k.confrelid
                  and (select c.relname::text from pg_class c where c.oid = k.conrelid) = any (remaining))
            order by t);
        if free = '{}' then
            raise exception 'tables refer to each other in a circle: %', remaining;
        end if;
        ordered := ordered || free;
        remaining := array(select t from unnest(remaining) t where not t = any (free));
    end loop;
    return ordered;
end;
$$;
comment on function nexus._tenant_tables() is 'Every table with rows of tenants, those that refer to others before those they refer to.';

create function nexus.export_tenant(tenant_id uuid) returns table (table_name text, content jsonb)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    -- Stable: every query below reads the snapshot of the statement that calls, so the copy is of one moment.
    perform nexus._require_whole_tenant($1);
    for table_name in
        select t from unnest(nexus._tenant_tables()) t
        where t not in ('secret', 'tenant_data_key', 'api_key', 'tenant_slug', 'idempotency_key', 'idempotency_request') order by t
    loop
        return query execute format('select %L::text, to_jsonb(t) from nexus.%I t where t.tenant_id = $1', table_name, table_name)
        using $1;
    end loop;
end;
$$;
comment on function nexus.export_tenant(uuid) is
    'All rows of a tenant as they are at one moment, keys and secrets aside; bodies of events as hex.';

create function nexus.delete_tenant(tenant_id uuid) returns table (table_name text, rows bigint)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- What opens doors goes first, then what ingest locks: it waits for batches under way, and later ones find
    -- no connector.
    first constant text[] := array['secret', 'tenant_data_key', 'api_key', 'connector'];
    former_slug text;
begin
    -- The gateway does it for a platform key.
    perform nexus._require_platform($1);
    -- Settlements under way end first; later ones pass it by.
    select t.slug into former_slug from nexus.tenant t where t.tenant_id = $1 for update;
    if not found then
        raise no_data_found using message = format('there is no tenant %s', $1), detail = '{"code": "NX404"}';
    end if;
    for table_name in
        select t from unnest(first || array(select t from unnest(nexus._tenant_tables()) t where not t = any (first))) t
    loop
        execute format('delete from nexus.%I t where t.tenant_id = $1', table_name) using $1;
        get diagnostics rows = row_count;
        return next;
    end loop;
    -- Its own log is gone with it.
    perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'tenant.deleted', 'tenant', $1,
                         jsonb_build_object('slug', former_slug));
end;
$$;
comment on function nexus.delete_tenant(uuid) is
    'Deletes a tenant and everything of it, in one transaction, secrets first; how many rows of each table.';
