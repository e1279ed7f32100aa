-- What becomes of subscriptions: changed, paused, resumed and removed by people; disabled by their own failures.

create function nexus.update_subscription(tenant_id uuid, environment_id uuid, subscription_id uuid, changes jsonb) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    wanted nexus.webhook_subscription;
begin
    perform nexus._require_platform($1);
    perform nexus._require_changes($4, array['url', 'event_types', 'description', 'headers', 'filter', 'payload_version',
                                             'ordering', 'retry', 'rate_limit', 'envelope', 'signature', 'status']);
    if $4 ? 'status' and coalesce($4 ->> 'status', '') not in ('active', 'paused') then
        raise invalid_parameter_value using
            message = format('a subscription cannot be made %s', coalesce($4 ->> 'status', 'null')),
            hint = 'Make it active or paused.', detail = '{"code": "NX402", "path": "$.status"}';
    end if;
    select * into wanted from nexus.webhook_subscription s
    where s.tenant_id = $1 and s.environment_id = $2 and s.webhook_subscription_id = $3 for update;
    if not found then
        raise no_data_found using message = format('there is no subscription %s', $3), detail = '{"code": "NX404"}';
    end if;
    wanted := jsonb_populate_record(wanted, nexus._subscription(
        to_jsonb(wanted) - array['tenant_id', 'webhook_subscription_id', 'environment_id', 'status', 'disabled_reason',
                                 'failing_since', 'last_failed_at', 'created_at', 'updated_at'] || ($4 - 'status')));
    -- Whoever says how it is to be begins anew.
    if $4 ? 'status' then
        wanted.status := $4 ->> 'status';
        wanted.disabled_reason := null;
        wanted.failing_since := null;
        wanted.last_failed_at := null;
    end if;
    update nexus.webhook_subscription s set
        url = wanted.url, event_types = wanted.event_types, description = wanted.description, headers = wanted.headers,
        filter = wanted.filter, payload_version = wanted.payload_version, ordering = wanted.ordering, retry = wanted.retry,
        rate_limit = wanted.rate_limit, envelope = wanted.envelope, signature = wanted.signature, status = wanted.status,
        disabled_reason = wanted.disabled_reason, failing_since = wanted.failing_since,
        last_failed_at = wanted.last_failed_at, updated_at = now()
    where s.tenant_id = $1 and s.webhook_subscription_id = $3;
    -- What claim has laid aside. It does so under a lock on the subscription, so that nothing stays behind.
    if wanted.status = 'active' then
        update nexus.delivery d set due_at = now()
        where d.tenant_id = $1 and d.kind = 'webhook' and d.destination_id = $3 and d.due_at = 'infinity';
    end if;
    perform nexus._audit($1, $2, 'subscription.updated', 'webhook_subscription', $3, $4);
end;
$$;
comment on function nexus.update_subscription(uuid, uuid, uuid, jsonb) is
    'Changes what a subscription asks for, or its status: paused, its deliveries wait; active, they go on.';

create function nexus.delete_subscription(tenant_id uuid, environment_id uuid, subscription_id uuid) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    former_url text;
begin
    perform nexus._require_platform($1);
    delete from nexus.webhook_subscription s
    where s.tenant_id = $1 and s.environment_id = $2 and s.webhook_subscription_id = $3
    returning s.url into former_url;
    if not found then
        raise no_data_found using message = format('there is no subscription %s', $3), detail = '{"code": "NX404"}';
    end if;
    delete from nexus.secret s where s.tenant_id = $1 and s.owner_kind = 'webhook_subscription' and s.owner_id = $3;
    -- What has not been sent is not sent any more; what was, stays in the log.
    delete from nexus.delivery d where d.tenant_id = $1 and d.kind = 'webhook' and d.destination_id = $3;
    perform nexus._audit($1, $2, 'subscription.deleted', 'webhook_subscription', $3, jsonb_build_object('url', former_url));
end;
$$;
comment on function nexus.delete_subscription(uuid, uuid, uuid) is
    'Removes a subscription, its secrets and its deliveries that have not been made.';

-- Called before settle locks deliveries: whoever wants both locks the subscription first.
create function nexus._note_attempts(
    tenant_id uuid, kinds text[], destination_ids uuid[], outcomes text[], status_codes integer[], attempted_at timestamptz[],
    trace_ids text[]
) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- Longer than the schedule of Standard Webhooks ever waits: after that much silence nobody knows that it still fails.
    silence constant interval := '36 hours';
    noted record;
    reason text;
begin
    -- Of a subscription that works and has worked there is nothing to note.
    for noted in
        select s.webhook_subscription_id, s.environment_id, s.url, o.has_succeeded, o.is_gone, o.trace_id,
               coalesce(case when s.last_failed_at >= o.attempted_at - silence then s.failing_since end, o.attempted_at)
                   as failing_since,
               greatest(s.last_failed_at, o.last_attempted_at) as last_failed_at
        from (select r.destination_id, bool_or(r.outcome = 'succeeded') as has_succeeded,
                     bool_or(coalesce(r.status_code, 0) = 410) as is_gone,
                     min(r.attempted_at) as attempted_at, max(r.attempted_at) as last_attempted_at, min(r.trace_id) as trace_id
              from (select unnest(kinds) as kind, unnest(destination_ids) as destination_id, unnest(outcomes) as outcome,
                           unnest(status_codes) as status_code, unnest($6) as attempted_at, unnest(trace_ids) as trace_id) r
              where r.kind = 'webhook' group by r.destination_id) o
        join nexus.webhook_subscription s on s.tenant_id = $1 and s.webhook_subscription_id = o.destination_id
        where s.status <> 'disabled' and (s.failing_since is not null or o.is_gone or not o.has_succeeded)
        order by s.webhook_subscription_id for update of s
    loop
        reason := case when noted.is_gone then 'the receiver answered 410 Gone'
                       when not noted.has_succeeded and noted.failing_since <= now() - interval '5 days'
                       then format('every attempt has failed since %s', noted.failing_since) end;
        update nexus.webhook_subscription s set
            failing_since = case when not noted.has_succeeded then noted.failing_since end,
            last_failed_at = case when not noted.has_succeeded then noted.last_failed_at end,
            status = case when reason is null then s.status else 'disabled' end,
            disabled_reason = reason,
            updated_at = case when reason is null then s.updated_at else now() end
        where s.tenant_id = $1 and s.webhook_subscription_id = noted.webhook_subscription_id;
        continue when reason is null;

        delete from nexus.delivery d
        where d.tenant_id = $1 and d.kind = 'webhook' and d.destination_id = noted.webhook_subscription_id;
        perform nexus._emit($1, jsonb_build_array(jsonb_build_object(
            'domain_event_id', nexus.uuid_v7(), 'environment_id', noted.environment_id,
            'event_type', 'subscription.disabled', 'trace_id', noted.trace_id, 'changed', jsonb_build_array('status'),
            'dedupe_key', noted.webhook_subscription_id || ':disabled:' || extract(epoch from noted.failing_since),
            'payload', jsonb_build_object('subscription_id', noted.webhook_subscription_id, 'url', noted.url,
                                          'reason', reason, 'failing_since', noted.failing_since))));
        perform nexus._audit($1, noted.environment_id, 'subscription.disabled', 'webhook_subscription',
                             noted.webhook_subscription_id, jsonb_build_object('reason', reason));
    end loop;
end;
$$;
comment on function nexus._note_attempts(uuid, text[], uuid[], text[], integer[], timestamptz[], text[]) is
    'Notes since when subscriptions fail. 410, or five days without a success, disables one: its deliveries go, and subscription.disabled tells why.';
