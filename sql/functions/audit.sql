create function nexus._actor() returns text
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    -- The gateway says for which key it acts; of any other session the login is what counts, whatever it sets.
    select case when nexus._is_gateway()
                then coalesce(nullif(current_setting('nexus.actor', true), ''), session_user::text)
                else session_user::text end
$$;
comment on function nexus._actor() is
    'Who acts: the login role, or the API key that the gateway acts for (setting nexus.actor, read for gateways alone).';

-- Definer, because administrators write the log by bind_role and may not write it otherwise.
create function nexus._audit(
    tenant_id uuid, environment_id uuid, action text, object_kind text, object_id uuid, detail jsonb
) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    activity_log_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_tenant($1);
    insert into nexus.activity_log (tenant_id, activity_log_id, environment_id, actor, action, object_kind, object_id, detail)
    values ($1, activity_log_id, $2, nexus._actor(), $3, $4, $5, coalesce($6, '{}'));
end;
$$;
comment on function nexus._audit(uuid, uuid, text, text, uuid, jsonb) is 'Writes down who changed what, for the tenant to read; what is the platform''s own stands under the nil tenant.';
