-- What people do with jobs: try again what ended badly, and cancel what has not ended.

create function nexus.retry_job(tenant_id uuid, environment_id uuid, job_id uuid) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    job nexus.job;
begin
    perform nexus._require_platform($1);
    select * into job from nexus.job j where j.tenant_id = $1 and j.environment_id = $2 and j.job_id = $3 for update;
    if not found then
        raise no_data_found using message = format('there is no job %s', $3), detail = '{"code": "NX404"}';
    elsif job.status not in ('failed', 'dead') then
        raise object_not_in_prerequisite_state using
            message = format('job %s is %s; what can be retried is failed or dead', $3, job.status),
            detail = '{"code": "NX406"}';
    elsif not exists (select from nexus.flow f where f.tenant_id = $1 and f.flow_id = job.flow_id) then
        raise object_not_in_prerequisite_state using
            message = format('job %s cannot be retried: its flow %s does not exist any more', $3, job.flow_id),
            detail = '{"code": "NX406"}';
    end if;
    -- With the record as it is by now: what the job was made with may be older than what a later job has sent.
    update nexus.job j set
        status = 'pending', result = null, error_code = null, error = null, updated_at = now(), finished_at = null,
        normalized_payload = coalesce((select r.document from nexus.source_record r
                                       where r.tenant_id = $1 and r.birth_id = j.birth_id), j.normalized_payload)
    where j.tenant_id = $1 and j.job_id = $3;
    -- Attempts are numbered on, so that no callback token of a former attempt is good for a later one.
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, job_id,
                                attempt, former_attempts, due_at, created_at)
    values ($1, nexus.uuid_v7(), $2, 'job', job.flow_id, $3, job.attempt, job.attempt, now(), now());
    perform nexus._audit($1, $2, 'job.retried', 'job', $3, jsonb_build_object('former_status', job.status));
end;
$$;
comment on function nexus.retry_job(uuid, uuid, uuid) is
    'Makes a failed or dead job pending again: a new delivery with all of the flow''s attempts, carrying the record as it is now.';

create function nexus.cancel_job(tenant_id uuid, environment_id uuid, job_id uuid) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    job nexus.job;
begin
    perform nexus._require_platform($1);
    -- Deliveries before jobs, as claim and settle lock them.
    perform from nexus.delivery d where d.tenant_id = $1 and d.job_id = $3 for update;
    select * into job from nexus.job j where j.tenant_id = $1 and j.environment_id = $2 and j.job_id = $3 for update;
    if not found then
        raise no_data_found using message = format('there is no job %s', $3), detail = '{"code": "NX404"}';
    elsif job.finished_at is not null then
        raise object_not_in_prerequisite_state using
            message = format('job %s has ended already: it is %s', $3, job.status), detail = '{"code": "NX406"}';
    end if;
    update nexus.job j set status = 'cancelled', updated_at = now(), finished_at = now()
    where j.tenant_id = $1 and j.job_id = $3;
    delete from nexus.delivery d where d.tenant_id = $1 and d.job_id = $3;
    perform nexus._audit($1, $2, 'job.cancelled', 'job', $3, jsonb_build_object('former_status', job.status));
end;
$$;
comment on function nexus.cancel_job(uuid, uuid, uuid) is
    'Ends a job that has not ended. An attempt under way is not called back: its outcome is logged, and changes nothing.';
