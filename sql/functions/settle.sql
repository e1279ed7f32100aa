-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan. So rows are found by
-- look-ups of their own or as one of an array, where a join could be planned as reading all of a tenant's.
create function nexus.settle(
    tenant_id uuid, worker text, log_ids uuid[], environment_ids uuid[], delivery_ids uuid[], kinds text[],
    destination_ids uuid[], job_ids uuid[], domain_event_ids uuid[], trace_ids text[], attempts integer[], outcomes text[],
    urls text[], status_codes integer[], latencies_ms integer[], error_classes text[], error_codes text[], errors text[],
    request_headers text[], request_bytes integer[], request_sha256s bytea[], response_headers text[], response_bodies text[],
    results text[], next_attempts_at timestamptz[], attempted_at timestamptz[], domain_event_ids_for_jobs uuid[]
) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    goes_on constant text[] := array['retry', 'awaiting_callback'];
    ended jsonb;
    destinations uuid[];
    ordering_keys uuid[];
    settled integer;
    places tid[];
begin
    perform nexus._require_platform($1);
    -- A tenant that is being deleted gets no more rows; its delete waits for us, or we pass it by.
    perform from nexus.tenant t where t.tenant_id = $1 for key share skip locked;
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
           r.request_headers::jsonb, r.request_bytes, r.request_sha256, r.response_headers::jsonb, r.response_body,
           case r.outcome when 'retry' then r.next_attempt_at end, r.attempted_at
    from (select unnest(log_ids) as log_id, unnest(environment_ids) as environment_id, unnest(delivery_ids) as delivery_id,
                 unnest(kinds) as kind, unnest(destination_ids) as destination_id, unnest(job_ids) as job_id,
                 unnest(domain_event_ids) as domain_event_id, unnest(trace_ids) as trace_id, unnest(attempts) as attempt,
                 unnest(outcomes) as outcome, unnest(urls) as url, unnest(status_codes) as status_code,
                 unnest(latencies_ms) as latency_ms, unnest(error_classes) as error_class, unnest(errors) as error,
                 unnest($19) as request_headers, unnest($20) as request_bytes, unnest(request_sha256s) as request_sha256,
                 unnest($22) as response_headers, unnest(response_bodies) as response_body,
                 unnest(next_attempts_at) as next_attempt_at, unnest($26) as attempted_at) r;

    perform nexus._note_attempts($1, kinds, destination_ids, outcomes, status_codes, $26, trace_ids);

    -- Only the lease's holder, and only for the attempt it holds, decides what comes next. Deliveries are locked in the
    -- order of their ids, by the first statement that comes upon them.
    if outcomes && goes_on then
        perform from (select unnest(delivery_ids) as delivery_id order by 1) r
        cross join lateral (
            select from nexus.delivery d
            where d.tenant_id = $1 and d.delivery_id = r.delivery_id and d.leased_by = worker for update) d;

        -- For a job awaiting its callback next_attempt_at is when waiting ends.
        update nexus.delivery d set leased_until = null, leased_by = null, due_at = r.next_attempt_at
        from (select unnest(delivery_ids) as delivery_id, unnest(attempts) as attempt, unnest(outcomes) as outcome,
                     unnest(next_attempts_at) as next_attempt_at) r
        where d.tenant_id = $1 and d.delivery_id = any (delivery_ids) and d.delivery_id = r.delivery_id
          and d.leased_by = worker and d.attempt = r.attempt and r.outcome = any (goes_on);
    end if;

    select array_agg(l.place) into places
    from (select unnest(delivery_ids) as delivery_id, unnest(attempts) as attempt, unnest(outcomes) as outcome
          order by 1) r
    cross join lateral (
        select d.ctid as place from nexus.delivery d
        where d.tenant_id = $1 and d.delivery_id = r.delivery_id and d.leased_by = worker and d.attempt = r.attempt
        for update) l
    where r.outcome <> all (goes_on);
    select count(*), array_agg(g.destination_id) filter (where g.ordering_key is not null),
           array_agg(g.ordering_key) filter (where g.ordering_key is not null)
    into settled, destinations, ordering_keys from nexus._end_deliveries($1, places) g;

    if 'job' = any (kinds) then
        with moved as (
            update nexus.job j set
                status = r.outcome, updated_at = now(), result = r.result::jsonb, error_code = r.error_code, error = r.error,
                finished_at = case when r.outcome in ('succeeded', 'dead') then now() end
            from (select unnest(job_ids) as job_id, unnest(attempts) as attempt, unnest(outcomes) as outcome,
                         unnest(results) as result, unnest(error_codes) as error_code, unnest(errors) as error,
                         unnest(domain_event_ids_for_jobs) as domain_event_id) r
            where j.tenant_id = $1 and j.job_id = any (job_ids) and j.job_id = r.job_id and j.attempt = r.attempt
              and j.status in ('dispatched', 'awaiting_callback')
            returning j.*, r.domain_event_id
        )
        select jsonb_agg(nexus._job_event(m.domain_event_id, m.environment_id, m.job_id, m.flow_id, m.event_id, m.trace_id,
                                          m.entity_kind, m.entity_id, m.status, m.attempt, m.result, m.error_code, m.error))
        into ended from moved m where m.status in ('succeeded', 'dead');
    end if;
    if ordering_keys is not null then
        perform nexus._wake_next($1, destinations, ordering_keys);
    end if;
    if ended is not null then
        perform nexus._emit($1, ended);
    end if;
    return settled;
end;
$$;
comment on function nexus.settle(
    uuid, text, uuid[], uuid[], uuid[], text[], uuid[], uuid[], uuid[], text[], integer[], text[], text[], integer[],
    integer[], text[], text[], text[], text[], integer[], bytea[], text[], text[], text[], timestamptz[], timestamptz[],
    uuid[]) is
    'Takes the outcomes of a tenant''s attempts, a column an array, in one transaction: log, next attempts, job states; how many deliveries ended.';

create function nexus.settle(tenant_id uuid, worker text, results jsonb) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return (
        select nexus.settle(
            $1, $2, array_agg(r.log_id), array_agg(r.environment_id), array_agg(r.delivery_id), array_agg(r.kind),
            array_agg(r.destination_id), array_agg(r.job_id), array_agg(r.domain_event_id), array_agg(r.trace_id),
            array_agg(r.attempt), array_agg(r.outcome), array_agg(r.url), array_agg(r.status_code), array_agg(r.latency_ms),
            array_agg(r.error_class), array_agg(r.error_code), array_agg(r.error), array_agg(r.request_headers::text),
            array_agg(r.request_bytes), array_agg(decode(r.request_sha256, 'hex')), array_agg(r.response_headers::text),
            array_agg(r.response_body), array_agg(r.result::text), array_agg(r.next_attempt_at), array_agg(r.attempted_at),
            array_agg(r.domain_event_id_for_job))
        from jsonb_to_recordset($3) as r(
            log_id uuid, environment_id uuid, delivery_id uuid, kind text, destination_id uuid, job_id uuid,
            domain_event_id uuid, trace_id text, attempt integer, outcome text, url text, status_code integer,
            latency_ms integer, error_class text, error_code text, error text, request_headers jsonb, request_bytes integer,
            request_sha256 text, response_headers jsonb, response_body text, result jsonb, next_attempt_at timestamptz,
            attempted_at timestamptz, domain_event_id_for_job uuid));
end;
$$;
comment on function nexus.settle(uuid, text, jsonb) is 'The same for outcomes as JSON objects.';

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
