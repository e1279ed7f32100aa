create function nexus.trace(tenant_id uuid, trace_id text)
returns table (at timestamptz, stage text, outcome text, detail jsonb)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return query
    with event as (
        select e.* from nexus.event e where e.tenant_id = $1 and e.trace_id = $2
    ), job as (
        select j.* from nexus.job j where j.tenant_id = $1 and j.event_id in (select e.event_id from event e)
    ), step (at, place, stage, outcome, detail) as (
        select e.received_at, 1, 'validate', case when e.is_verified then 'verified' else 'trusted' end,
               jsonb_build_object('event_id', e.event_id, 'connector_id', e.connector_id,
                                  'connector_type', e.connector_type, 'bytes', length(e.body))
        from event e
        union all
        select e.received_at, 2, 'normalize', case e.status when 'accepted' then 'normalized' else e.status end,
               jsonb_strip_nulls(jsonb_build_object('event_id', e.event_id, 'topic', e.topic,
                   'manifest_version', e.manifest_version, 'documents', jsonb_array_length(e.outcome -> 'documents'),
                   'code', e.reason_code, 'reason', e.reason))
        from event e
        union all
        select e.received_at, 3, 'deduplicate', 'new',
               jsonb_strip_nulls(jsonb_build_object('event_id', e.event_id, 'delivery_key', e.delivery_key))
        from event e
        union all
        select e.received_at, 4, 'create', d ->> 'result', d || jsonb_build_object('event_id', e.event_id)
        from event e cross join lateral jsonb_array_elements(e.outcome -> 'documents') d
        union all
        select v.created_at, 5, 'create', 'emitted',
               jsonb_build_object('domain_event_id', v.domain_event_id, 'event_type', v.event_type,
                                  'entity_kind', v.entity_kind, 'entity_id', v.entity_id,
                                  'entity_version', v.entity_version, 'changed', v.changed)
        from (select v.* from event e join nexus.domain_event v on v.tenant_id = $1 and v.event_id = e.event_id
              union all
              select v.* from nexus.domain_event v where v.tenant_id = $1 and v.event_id is null and v.trace_id = $2) v
        union all
        select j.created_at, 6, 'create', 'queued',
               jsonb_build_object('job_id', j.job_id, 'flow_id', j.flow_id, 'entity_kind', j.entity_kind, 'entity_id', j.entity_id)
        from job j
        union all
        select e.received_at, 7, 'create', 'no_job', jsonb_build_object('event_id', e.event_id, 'reason', e.outcome ->> 'no_job')
        from event e where e.outcome ? 'no_job'
        union all
        select l.attempted_at, 8, 'dispatch', l.outcome,
               jsonb_strip_nulls(jsonb_build_object('delivery_id', l.delivery_id, 'kind', l.kind, 'job_id', l.job_id,
                   'domain_event_id', l.domain_event_id, 'attempt', l.attempt, 'url', l.url, 'status_code', l.status_code,
                   'latency_ms', l.latency_ms, 'error_class', l.error_class, 'error', l.error,
                   'next_attempt_at', l.next_attempt_at))
        from nexus.webhook_delivery_log l where l.tenant_id = $1 and l.trace_id = $2
        union all
        select a.at, 9, a.stage, a.action, a.detail || jsonb_strip_nulls(jsonb_build_object(
                   'event_id', a.event_id, coalesce(a.object_kind || '_id', 'object_id'), a.object_id))
        from nexus.activity_log a
        where a.tenant_id = $1 and a.stage is not null
          and (a.trace_id = $2 or a.event_id in (select e.event_id from event e))
        union all
        select coalesce(j.finished_at, j.updated_at), 10, 'log', j.status,
               jsonb_strip_nulls(jsonb_build_object('job_id', j.job_id, 'attempt', j.attempt, 'result', j.result,
                                                    'error_code', j.error_code, 'error', j.error))
        from job j
    )
    select s.at, s.stage, s.outcome, s.detail from step s order by s.at, s.place;
end;
$$;
comment on function nexus.trace(uuid, text) is
    'One input''s way from source to destination, a row per step; stages validate, normalize, deduplicate, create, dispatch, log.';
