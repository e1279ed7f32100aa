create function nexus._audit(
    tenant_id uuid, environment_id uuid, action text, object_kind text, object_id uuid, detail jsonb
) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    activity_log_id uuid := nexus.uuid_v7();
begin
    insert into nexus.activity_log (tenant_id, activity_log_id, environment_id, action, object_kind, object_id, detail)
    values ($1, activity_log_id, $2, $3, $4, $5, coalesce($6, '{}'));
end;
$$;
comment on function nexus._audit(uuid, uuid, text, text, uuid, jsonb) is 'Writes down who changed what, for the tenant to read.';
