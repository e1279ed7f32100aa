-- Readers of the outbox. A row is readable once no transaction that might still commit could have come before it: all
-- ids below the snapshot's xmin have ended.

create function nexus.read_domain_events(
    tenant_id uuid, after text default null, max integer default 100, in_environment uuid default null
)
returns table (
    domain_event_id uuid, environment_id uuid, event_type text, schema_version integer, dedupe_key text, entity_kind text,
    entity_id uuid, entity_version bigint, changed text[], payload jsonb, trace_id text, created_at timestamptz, cursor text
)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
-- The plan must stay the one by the index of positions, whatever the statistics say.
set enable_seqscan to off
set enable_sort to off
as $$
declare
    place text[] := string_to_array(coalesce(after, '0.0.00000000-0000-0000-0000-000000000000'), '.');
    after_epoch integer;
    after_xact_id xid8;
    after_id uuid;
    outbox_floor text[];
    horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
    current_epoch constant integer := (select max(o.epoch) from nexus.outbox_epoch o);
begin
    if after is not null and after !~ '^[0-9]{1,9}\.[0-9]{1,20}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        raise invalid_parameter_value using
            message = format('"%s" is no cursor', after),
            hint = 'Pass the cursor of the last event read, or null to begin.', detail = '{"code": "NX403"}';
    end if;
    after_epoch := place[1]::integer;
    after_xact_id := place[2]::xid8;
    after_id := place[3]::uuid;
    select string_to_array(t.outbox_floor, '.') into outbox_floor from nexus.tenant t where t.tenant_id = $1;
    if after is not null and outbox_floor is not null
       and (after_epoch, after_xact_id, after_id) < (outbox_floor[1]::integer, outbox_floor[2]::xid8, outbox_floor[3]::uuid) then
        raise invalid_parameter_value using
            message = format('the cursor "%s" is older than what is kept: events after it are gone', after),
            hint = 'Take stock of the entities, then begin anew: with null for what is kept, with nexus.latest_cursor() for what is to come.',
            detail = '{"code": "NX407"}';
    end if;
    return query
    select e.domain_event_id, e.environment_id, e.event_type, e.schema_version, e.dedupe_key, e.entity_kind,
           e.entity_id, e.entity_version, e.changed, e.payload, e.trace_id, e.created_at,
           e.epoch || '.' || e.xact_id::text || '.' || e.domain_event_id
    from nexus.domain_event e
    where e.tenant_id = $1
      and (e.epoch, e.xact_id, e.domain_event_id) > (after_epoch, after_xact_id, after_id)
      -- Of earlier epochs everything, of the current one what is below the horizon.
      and (e.epoch, e.xact_id) < (current_epoch, horizon)
      and (in_environment is null or e.environment_id = in_environment)
    order by e.epoch, e.xact_id, e.domain_event_id
    limit least(greatest(max, 0), 1000);
end;
$$;
comment on function nexus.read_domain_events(uuid, text, integer, uuid) is
    'The outbox in its order, after a cursor, of all environments or of one; each row with its own cursor. Nothing that commits later can come before what was read.';

create function nexus.latest_cursor() returns text
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return format('%s.%s.ffffffff-ffff-ffff-ffff-ffffffffffff', (select max(o.epoch) from nexus.outbox_epoch o),
                  pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1);
end;
$$;
comment on function nexus.latest_cursor() is 'The cursor behind everything that is readable now, of whatever tenant: where a reader begins who wants only what is to come.';

create function nexus.outbox_news(known text, tenant_ids uuid[], environment_ids uuid[], cursors text[])
returns table (latest text, news integer[])
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_sort to off
as $$
declare
    horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
    current_epoch constant integer := (select max(o.epoch) from nexus.outbox_epoch o);
begin
    perform nexus._require_role('nexus_gateway');
    latest := nexus.latest_cursor();
    news := '{}';
    -- Nothing has become readable for anybody.
    if latest is distinct from known then
        news := array(
            select w.n::integer
            from unnest(tenant_ids, environment_ids, cursors) with ordinality w(tenant_id, environment_id, after, n)
            cross join lateral (
                select from nexus.domain_event e
                where e.tenant_id = w.tenant_id and e.environment_id = w.environment_id
                  and (e.epoch, e.xact_id, e.domain_event_id)
                      > (split_part(w.after, '.', 1)::integer, split_part(w.after, '.', 2)::xid8, split_part(w.after, '.', 3)::uuid)
                  and (e.epoch, e.xact_id) < (current_epoch, horizon)
                order by e.epoch, e.xact_id, e.domain_event_id
                limit 1
            ) first);
    end if;
    return next;
end;
$$;
comment on function nexus.outbox_news(text, uuid[], uuid[], text[]) is
    'Which of these outboxes, by their places from 1 on, have become readable beyond their cursors, and the latest cursor; one call for all streams of a gateway.';

create function nexus._raise_outbox_floor(until timestamptz) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_sort to off
as $$
declare
    of_tenant uuid;
    last_one record;
begin
    for of_tenant in select t.tenant_id from nexus.tenant t order by t.tenant_id loop
        select e.epoch, e.xact_id, e.domain_event_id into last_one from nexus.domain_event e
        where e.tenant_id = of_tenant and e.domain_event_id < nexus._uuid_at(until)
        order by e.epoch desc, e.xact_id desc, e.domain_event_id desc limit 1;
        if found then
            update nexus.tenant t set outbox_floor = last_one.epoch || '.' || last_one.xact_id::text || '.' || last_one.domain_event_id
            where t.tenant_id = of_tenant
              and (t.outbox_floor is null
                   or (split_part(t.outbox_floor, '.', 1)::integer, split_part(t.outbox_floor, '.', 2)::xid8,
                       split_part(t.outbox_floor, '.', 3)::uuid)
                      < (last_one.epoch, last_one.xact_id, last_one.domain_event_id));
        end if;
    end loop;
end;
$$;
comment on function nexus._raise_outbox_floor(timestamptz) is
    'Notes for each tenant the last domain event from before that moment, which is about to be taken away.';
