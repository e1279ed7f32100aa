create function nexus.create_subscription(
    tenant_id uuid, environment_id uuid, url text, event_types text[], description text default null,
    headers jsonb default '{}', options jsonb default '{}'
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    insert into nexus.webhook_subscription (
        tenant_id, webhook_subscription_id, environment_id, url, event_types, description, headers, filter,
        payload_version, ordering, retry, rate_limit, envelope, signature)
    select $1, new_id, $2, s.url, s.event_types, s.description, s.headers, s.filter,
           s.payload_version, s.ordering, s.retry, s.rate_limit, s.envelope, s.signature
    from jsonb_populate_record(null::nexus.webhook_subscription, nexus._subscription(
        $7 || jsonb_build_object('url', $3, 'event_types', $4, 'description', $5, 'headers', $6))) s;
    perform nexus._audit($1, $2, 'subscription.created', 'webhook_subscription', new_id, jsonb_build_object('url', $3));
    return new_id;
end;
$$;
comment on function nexus.create_subscription(uuid, uuid, text, text[], text, jsonb, jsonb) is
    'A new webhook subscription to domain events; its id. Options are filter, payload_version, ordering, retry, rate_limit, envelope and signature. Without a secret it is not delivered to: set one with the gateway.';
