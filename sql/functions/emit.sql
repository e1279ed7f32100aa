create function nexus._emit(tenant_id uuid, events jsonb) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    current_epoch constant integer := nexus._epoch();
    queued integer;
begin
    insert into nexus.domain_event (tenant_id, domain_event_id, environment_id, epoch, event_type, dedupe_key,
                                    entity_kind, entity_id, entity_version, changed, payload, trace_id, event_id, created_at)
    select $1, e.domain_event_id, e.environment_id, current_epoch, e.event_type,
           e.dedupe_key, e.entity_kind, e.entity_id, e.entity_version, e.changed, e.payload, e.trace_id, e.event_id, now()
    from jsonb_to_recordset($2) as e(
        domain_event_id uuid, environment_id uuid, event_type text, dedupe_key text, entity_kind text, entity_id uuid,
        entity_version bigint, changed text[], payload jsonb, trace_id text, event_id uuid);

    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                trace_id, due_at, created_at)
    select $1, nexus._derived_id(e.domain_event_id, s.webhook_subscription_id), e.environment_id, 'webhook',
           s.webhook_subscription_id, e.domain_event_id, e.trace_id, now(), now()
    from jsonb_to_recordset($2) as e(domain_event_id uuid, environment_id uuid, event_type text, trace_id text)
    join nexus.webhook_subscription s
      on s.tenant_id = $1 and s.environment_id = e.environment_id and s.status <> 'disabled'
     and nexus._matches_event_type(s.event_types, e.event_type);
    get diagnostics queued = row_count;
    return queued;
end;
$$;
comment on function nexus._emit(uuid, jsonb) is
    'Writes domain events to the outbox and queues them for the subscriptions that want them, paused ones too; how many deliveries.';
