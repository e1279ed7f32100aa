create function nexus.create_flow(tenant_id uuid, environment_id uuid, name text, definition jsonb) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_flow_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    perform nexus._check_flow($4);
    begin
        insert into nexus.flow (tenant_id, flow_id, environment_id, name, definition)
        values ($1, new_flow_id, $2, $3, $4);
    exception when unique_violation then
        perform nexus._refuse_name('flow', $3);
    end;
    perform nexus._audit($1, $2, 'flow.created', 'flow', new_flow_id, jsonb_build_object('name', $3));
    return new_flow_id;
end;
$$;
comment on function nexus.create_flow(uuid, uuid, text, jsonb) is
    'A new flow of a tenant''s environment; its id. docs/flows.md describes the definition.';
