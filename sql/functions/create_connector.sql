create function nexus.create_connector(
    tenant_id uuid, environment_id uuid, connector_type text, name text, settings jsonb default '{}'
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_connector_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    if not exists (select from nexus.connector_type t where t.connector_type = $3 and t.is_current) then
        raise invalid_parameter_value using
            message = format('there is no connector type "%s"', $3),
            hint = 'select connector_type from nexus.connector_type lists them.', detail = '{"code": "NX404"}';
    end if;
    perform nexus._check_settings($3, coalesce($5, '{}'));
    begin
        insert into nexus.connector (tenant_id, connector_id, environment_id, connector_type, name, settings)
        values ($1, new_connector_id, $2, $3, $4, coalesce($5, '{}'));
    exception when unique_violation then
        perform nexus._refuse_name('connector', $4);
    end;
    perform nexus._audit($1, $2, 'connector.created', 'connector', new_connector_id,
                         jsonb_build_object('name', $4, 'connector_type', $3));
    return new_connector_id;
end;
$$;
comment on function nexus.create_connector(uuid, uuid, text, text, jsonb) is
    'A new connector of a tenant''s environment; its id. Its secrets are set by the gateway''s command line or API.';
