create function nexus.create_subscription(
    tenant_id uuid, environment_id uuid, url text, event_types text[], description text default null,
    headers jsonb default '{}'
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    perform nexus._check_subscription($3, $4, $6);
    insert into nexus.webhook_subscription (tenant_id, webhook_subscription_id, environment_id, url, event_types, description, headers)
    values ($1, new_id, $2, $3, $4, $5, $6);
    perform nexus._audit($1, $2, 'subscription.created', 'webhook_subscription', new_id, jsonb_build_object('url', $3));
    return new_id;
end;
$$;
comment on function nexus.create_subscription(uuid, uuid, text, text[], text, jsonb) is
    'A new webhook subscription to domain events; its id. Without a secret it is not delivered to: set one with the gateway.';
