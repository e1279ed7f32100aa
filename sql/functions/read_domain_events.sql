create function nexus.read_domain_events(tenant_id uuid, after text default null, max integer default 100)
returns table (
    domain_event_id uuid, environment_id uuid, event_type text, schema_version integer, dedupe_key text, entity_kind text,
    entity_id uuid, entity_version bigint, changed text[], payload jsonb, trace_id text, created_at timestamptz, cursor text
)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    place text[] := string_to_array(after, '.');
    -- A row is readable once no transaction that might still commit could have come before it.
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    current_epoch integer := (select max(o.epoch) from nexus.outbox_epoch o);
begin
    if after is not null and after !~ '^[0-9]{1,9}\.[0-9]{1,20}\.[0-9a-f-]{36}$' then
        raise invalid_parameter_value using
            message = format('"%s" is no cursor', after),
            hint = 'Pass the cursor of the last event read, or null to begin.', detail = '{"code": "NX403"}';
    end if;
    return query
    select e.domain_event_id, e.environment_id, e.event_type, e.schema_version, e.dedupe_key, e.entity_kind,
           e.entity_id, e.entity_version, e.changed, e.payload, e.trace_id, e.created_at,
           e.epoch || '.' || e.xact_id::text || '.' || e.domain_event_id
    from nexus.domain_event e
    where e.tenant_id = $1
      and (e.epoch < current_epoch or e.xact_id < horizon)
      and (after is null
           or (e.epoch, e.xact_id, e.domain_event_id) > (place[1]::integer, place[2]::xid8, place[3]::uuid))
    order by e.epoch, e.xact_id, e.domain_event_id
    limit least(greatest(max, 0), 1000);
end;
$$;
comment on function nexus.read_domain_events(uuid, text, integer) is
    'The outbox in its order, after a cursor; each row with its own. Nothing that commits later can come before what was read.';
