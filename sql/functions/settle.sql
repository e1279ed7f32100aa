-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan.
create function nexus.settle(tenant_id uuid, worker text, results jsonb) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    ended jsonb;
    ordered jsonb;
    settled integer;
begin
    perform nexus._require_platform($1);
    -- A tenant that is being deleted gets no more rows; its delete waits for us, or we find it gone.
    perform from nexus.tenant t where t.tenant_id = $1 for key share;
    if not found then
        return 0;
    end if;

    -- Every attempt is logged, also one whose lease was lost meanwhile: it did happen.
    insert into nexus.webhook_delivery_log (
        tenant_id, webhook_delivery_log_id, environment_id, delivery_id, kind, destination_id, job_id, domain_event_id,
        trace_id, attempt, outcome, url, status_code, latency_ms, error_class, error, request_headers, request_bytes,
        request_sha256, response_headers, response_body, next_attempt_at, attempted_at)
    select $1, r.log_id, r.environment_id, r.delivery_id, r.kind, r.destination_id, r.job_id, r.domain_event_id,
           r.trace_id, r.attempt, r.outcome, r.url, r.status_code, r.latency_ms, r.error_class, r.error,
           r.request_headers, r.request_bytes, decode(r.request_sha256, 'hex'), r.response_headers, r.response_body,
           case r.outcome when 'retry' then r.next_attempt_at end, r.attempted_at
    from jsonb_to_recordset($3) as r(
        log_id uuid, environment_id uuid, delivery_id uuid, kind text, destination_id uuid, job_id uuid,
        domain_event_id uuid, trace_id text, attempt integer, outcome text, url text, status_code integer,
        latency_ms integer, error_class text, error text, request_headers jsonb, request_bytes integer,
        request_sha256 text, response_headers jsonb, response_body text,
        next_attempt_at timestamptz, attempted_at timestamptz);

    perform nexus._note_attempts($1, $3);

    -- Only the lease's holder, and only for the attempt it holds, decides what comes next.
    perform from (select r.delivery_id from jsonb_to_recordset($3) as r(delivery_id uuid) order by r.delivery_id) r
    cross join lateral (
        select from nexus.delivery d
        where d.tenant_id = $1 and d.delivery_id = r.delivery_id and d.leased_by = worker for update) d;

    -- For a job awaiting its callback next_attempt_at is when waiting ends.
    update nexus.delivery d set leased_until = null, leased_by = null, due_at = r.next_attempt_at
    from jsonb_to_recordset($3) as r(delivery_id uuid, attempt integer, outcome text, next_attempt_at timestamptz)
    where d.tenant_id = $1 and d.delivery_id = r.delivery_id and d.leased_by = worker and d.attempt = r.attempt
      and r.outcome in ('retry', 'awaiting_callback');

    with result as (
        select r.* from jsonb_to_recordset($3) as r(
            job_id uuid, attempt integer, outcome text, result jsonb, error_code text, error text, domain_event_id_for_job uuid)
        where r.job_id is not null
    ), moved as (
        update nexus.job j set
            status = r.outcome, updated_at = now(), result = r.result, error_code = r.error_code, error = r.error,
            finished_at = case when r.outcome in ('succeeded', 'dead') then now() end
        from result r
        where j.tenant_id = $1 and j.job_id = r.job_id and j.attempt = r.attempt
          and j.status in ('dispatched', 'awaiting_callback')
        returning j.*, r.domain_event_id_for_job
    )
    select jsonb_agg(nexus._job_event(m.domain_event_id_for_job, m.environment_id, m.job_id, m.flow_id, m.event_id, m.trace_id,
                                      m.entity_kind, m.entity_id, m.status, m.attempt, m.result, m.error_code, m.error))
    into ended from moved m where m.status in ('succeeded', 'dead');

    with gone as (
        delete from nexus.delivery d
        using jsonb_to_recordset($3) as r(delivery_id uuid, attempt integer, outcome text)
        where d.tenant_id = $1 and d.delivery_id = r.delivery_id and d.leased_by = worker and d.attempt = r.attempt
          and r.outcome in ('succeeded', 'dead')
        returning d.destination_id, d.ordering_key
    )
    select count(*), jsonb_agg(to_jsonb(g)) filter (where g.ordering_key is not null) into settled, ordered from gone g;
    if ordered is not null then
        perform nexus._wake_next($1, ordered);
    end if;

    if ended is not null then
        perform nexus._emit($1, ended);
    end if;
    return settled;
end;
$$;
comment on function nexus.settle(uuid, text, jsonb) is
    'Takes the outcomes of a tenant''s attempts in one transaction: log, next attempts, job states; how many deliveries ended.';

create function nexus._job_event(
    domain_event_id uuid, environment_id uuid, job_id uuid, flow_id uuid, event_id uuid, trace_id text, entity_kind text,
    entity_id uuid, status text, attempt integer, result jsonb, error_code text, error text
) returns jsonb
language plpgsql immutable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return jsonb_build_object(
        'domain_event_id', domain_event_id, 'environment_id', environment_id, 'event_type', 'job.' || status,
        'dedupe_key', job_id || ':' || attempt || ':' || status, 'trace_id', trace_id, 'event_id', event_id, 'changed', jsonb_build_array('status'),
        'payload', jsonb_strip_nulls(jsonb_build_object(
            'job_id', job_id, 'flow_id', flow_id, 'status', status, 'attempt', attempt,
            'entity', jsonb_build_object('kind', entity_kind, 'entity_id', entity_id),
            'result', result, 'error_code', error_code, 'error', error)));
end;
$$;
comment on function nexus._job_event(uuid, uuid, uuid, uuid, uuid, text, text, uuid, text, integer, jsonb, text, text) is
    'A job''s end as an event for the outbox.';
