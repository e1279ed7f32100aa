create function nexus._emit(
    tenant_id uuid, domain_event_ids uuid[], environment_ids uuid[], event_types text[], dedupe_keys text[],
    entity_kinds text[], entity_ids uuid[], entity_versions bigint[], changes text[], trace_ids text[], event_ids uuid[],
    payloads text[]
) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    current_epoch constant integer := nexus._epoch();
    queued integer;
begin
    with e as (
        select unnest(domain_event_ids) as domain_event_id, unnest(environment_ids) as environment_id,
               unnest(event_types) as event_type, unnest(dedupe_keys) as dedupe_key, unnest(entity_kinds) as entity_kind,
               unnest(entity_ids) as entity_id, unnest(entity_versions) as entity_version,
               unnest(changes)::text[] as changed, unnest(trace_ids) as trace_id, unnest(event_ids) as event_id,
               unnest(payloads)::jsonb as payload
    ), emitted as (
        insert into nexus.domain_event (tenant_id, domain_event_id, environment_id, epoch, event_type, dedupe_key,
                                        entity_kind, entity_id, entity_version, changed, payload, trace_id, event_id, created_at)
        select $1, e.domain_event_id, e.environment_id, current_epoch, e.event_type, e.dedupe_key, e.entity_kind,
               e.entity_id, e.entity_version, e.changed, e.payload, e.trace_id, e.event_id, now()
        from e
    )
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                trace_id, ordering_key, ordering_version, due_at, created_at)
    select $1, nexus._derived_id(e.domain_event_id, s.webhook_subscription_id), e.environment_id, 'webhook',
           s.webhook_subscription_id, e.domain_event_id, e.trace_id, case s.ordering when 'entity' then e.entity_id end,
           case s.ordering when 'entity' then e.entity_version end, now(), now()
    from e
    join nexus.webhook_subscription s
      on s.tenant_id = $1 and s.environment_id = e.environment_id and s.status <> 'disabled'
     and nexus._matches_event_type(s.event_types, e.event_type)
     and (s.filter is null or nexus._filter_accepts(s.filter, e.event_type, e.entity_version, e.changed, e.payload));
    get diagnostics queued = row_count;
    return queued;
end;
$$;
comment on function nexus._emit(uuid, uuid[], uuid[], text[], text[], text[], uuid[], bigint[], text[], text[], uuid[], text[]) is
    'Writes domain events, a column an array, to the outbox and queues them for the subscriptions that want them, paused ones too; how many deliveries.';

create function nexus._emit(tenant_id uuid, events jsonb) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return (
        select nexus._emit(
            $1, array_agg(e.domain_event_id), array_agg(e.environment_id), array_agg(e.event_type), array_agg(e.dedupe_key),
            array_agg(e.entity_kind), array_agg(e.entity_id), array_agg(e.entity_version), array_agg(e.changed::text),
            array_agg(e.trace_id), array_agg(e.event_id), array_agg(e.payload::text))
        from jsonb_to_recordset($2) as e(
            domain_event_id uuid, environment_id uuid, event_type text, dedupe_key text, entity_kind text, entity_id uuid,
            entity_version bigint, changed text[], payload jsonb, trace_id text, event_id uuid));
end;
$$;
comment on function nexus._emit(uuid, jsonb) is 'The same for events as JSON objects.';
