create function nexus.erase_customer(tenant_id uuid, customer_id uuid) returns jsonb
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    people uuid[];      -- source records that are the customer
    records uuid[];     -- those, and the records of their orders and what belongs to these
    entities uuid[];    -- the golden rows of all of them
    addresses text[];   -- e-mail addresses that are theirs alone, now or formerly, and telephone numbers:
    phones text[];      -- by them events are found that made no record
    their_environment_id uuid;
    events uuid[];
    outbox uuid[];
    jobs uuid[];
    counted jsonb;
    affected bigint;
begin
    perform nexus._require_whole_tenant($1);
    -- A customer is one environment's, and so is what the activity log says of it.
    select array_agg(r.birth_id), (array_agg(r.environment_id))[1] into people, their_environment_id
    from nexus.source_record r where r.tenant_id = $1 and r.entity_id = $2 and r.kind = 'customer';
    if people is null then
        raise no_data_found using message = format('tenant %s has no customer %s', $1, $2), detail = '{"code": "NX404"}';
    end if;
    with claimed (content) as (
        select r.document from nexus.source_record r where r.tenant_id = $1 and r.birth_id = any (people)
        union all
        select v.payload from nexus.domain_event v where v.tenant_id = $1 and v.entity_id = $2
    )
    select nexus._personal_addresses(coalesce(array_agg(distinct c.content ->> 'email') filter (where c.content ->> 'email' is not null), '{}')),
           coalesce(array_agg(distinct p.phone) filter (where p.phone is not null), '{}')
    into addresses, phones
    from claimed c cross join lateral (
        select c.content ->> 'phone' union all
        select a ->> 'phone' from jsonb_array_elements(
            case jsonb_typeof(c.content -> 'addresses') when 'array' then c.content -> 'addresses' else '[]' end) a
    ) p (phone);

    -- An order that names the address and no customer is theirs too.
    with their_order as (
        select o.sales_order_id as id from nexus.sales_order o
        where o.tenant_id = $1 and (o.customer_id = $2 or o.customer_birth_id = any (people)
                                    or o.customer_birth_id is null and lower(trim(o.email)) = any (addresses))
    ), belonging as (
        select $2 as id
        union select t.id from their_order t
        union select f.fulfillment_id from nexus.fulfillment f where f.tenant_id = $1 and f.sales_order_id in (select t.id from their_order t)
        union select f.refund_id from nexus.refund f where f.tenant_id = $1 and f.sales_order_id in (select t.id from their_order t)
        union select p.payment_id from nexus.payment p where p.tenant_id = $1 and p.sales_order_id in (select t.id from their_order t)
    )
    select array_agg(b.id) into entities from belonging b;
    select array_agg(r.birth_id) into records from nexus.source_record r
    where r.tenant_id = $1 and r.entity_id = any (entities);

    -- What they were told and brought together by.
    delete from nexus.identity_key k where k.tenant_id = $1 and k.birth_id = any (records);
    delete from nexus.merge_candidate c where c.tenant_id = $1 and (c.a = any (records) or c.b = any (records));
    update nexus.entity_change c set because = '[]' where c.tenant_id = $1 and c.birth_id = any (records);

    -- Records and golden rows; later claims of what was erased are never joined.
    perform nexus._erase_records($1, records, (extract(epoch from now()) * 1000000)::bigint);
    counted := jsonb_build_object('source_records', cardinality(records));
    delete from nexus.fetch_request f where f.tenant_id = $1 and f.fetch_request_id = any (records);

    -- Events that made these records or name one of the addresses, and those that made no record and name a number,
    -- which may be a household's: in others' records it is theirs.
    select array_agg(e.event_id) into events from nexus.event e
    where e.tenant_id = $1
      and (exists (select from jsonb_array_elements(e.outcome -> 'documents') d
                   where (d ->> 'entity_id')::uuid = any (entities))
           or nexus._is_mentioned(e.headers, e.body, addresses, case e.status when 'accepted' then '{}' else phones end));
    update nexus.event e set
        body = '', headers = '{}', erased_at = now(),
        reason = case when e.reason is null then null else 'erased' end,
        outcome = case when e.outcome is null then null else jsonb_set(e.outcome - 'fetch', '{documents}', coalesce((
            select jsonb_agg(case when d ->> 'external_id' like '%@%'
                             then jsonb_set(d, '{external_id}', '"erased"') else d end)
            from jsonb_array_elements(e.outcome -> 'documents') d), '[]')) end
    where e.tenant_id = $1 and e.event_id = any (events);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('events', affected);

    select array_agg(v.domain_event_id) into outbox from nexus.domain_event v
    where v.tenant_id = $1 and (v.entity_id = any (entities) or v.event_id = any (events));
    update nexus.domain_event v set payload = jsonb_build_object('is_erased', true)
    where v.tenant_id = $1 and v.domain_event_id = any (outbox);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('domain_events', affected);

    select array_agg(j.job_id) into jobs from nexus.job j
    where j.tenant_id = $1 and (j.entity_id = any (entities) or j.event_id = any (events));
    update nexus.job j set normalized_payload = jsonb_build_object('is_erased', true), result = null, error = null
    where j.tenant_id = $1 and j.job_id = any (jobs);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('jobs', affected);

    update nexus.webhook_delivery_log l set response_body = null, response_headers = null, request_sha256 = null, error = null
    where l.tenant_id = $1 and (l.job_id = any (jobs) or l.domain_event_id = any (outbox));
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('attempts', affected);

    perform nexus._audit($1, their_environment_id, 'customer.erased', 'customer', $2, counted);
    return counted;
end;
$$;
comment on function nexus.erase_customer(uuid, uuid) is
    'Takes a person out of events, records, golden rows, payloads and logs, for good; how many rows of each. Amounts, lines and ids stay.';
