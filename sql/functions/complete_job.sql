-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan.
create function nexus.complete_job(
    tenant_id uuid, job_id uuid, attempt integer, succeeded boolean, result jsonb, error_code text, error text
) returns text
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
as $$
declare
    ending text := case when succeeded then 'succeeded' else 'failed' end;
    job nexus.job;
begin
    perform nexus._require_platform($1);
    -- Deliveries before jobs, as claim and settle lock them.
    perform from nexus.delivery d where d.tenant_id = $1 and d.job_id = $2 for update;
    select * into job from nexus.job j where j.tenant_id = $1 and j.job_id = $2 for update;
    if not found then
        return 'unknown';
    -- The answer may overtake the 202 that announced it: then the job is still dispatched.
    elsif job.status not in ('dispatched', 'awaiting_callback') or job.attempt <> $3 then
        return 'not_waiting';
    end if;
    update nexus.job j set status = ending, result = $5, error_code = $6, error = $7, updated_at = now(), finished_at = now()
    where j.tenant_id = $1 and j.job_id = $2;
    delete from nexus.delivery d where d.tenant_id = $1 and d.job_id = $2;
    perform nexus._log_callback($1, job.environment_id, job.trace_id, job.event_id, $2, ending, $3);
    perform nexus._emit($1, jsonb_build_array(nexus._job_event(
        nexus.uuid_v7(), job.environment_id, $2, job.flow_id, job.event_id, job.trace_id, job.entity_kind, job.entity_id,
        ending, $3, $5, $6, $7)));
    return 'completed';
end;
$$;
comment on function nexus.complete_job(uuid, uuid, integer, boolean, jsonb, text, text) is
    'Ends a job by its callback: completed, not_waiting (ended, or another attempt''s) or unknown.';

create function nexus._log_callback(
    tenant_id uuid, environment_id uuid, trace_id text, event_id uuid, job_id uuid, outcome text, attempt integer
) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    activity_log_id uuid := nexus.uuid_v7();
begin
    insert into nexus.activity_log (tenant_id, activity_log_id, environment_id, stage, action, trace_id, event_id,
                                    object_kind, object_id, detail)
    values ($1, activity_log_id, $2, 'dispatch', 'job.callback', $3, $4, 'job', $5,
            jsonb_build_object('outcome', $6, 'attempt', $7));
end;
$$;
comment on function nexus._log_callback(uuid, uuid, text, uuid, uuid, text, integer) is 'Puts a callback into the trace.';
