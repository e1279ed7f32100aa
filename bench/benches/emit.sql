-- The first event of a tenant's outbox ($1), so many times ($2), each as if it had just happened.
select nexus._emit($1, (
    select jsonb_agg(to_jsonb(t) || jsonb_build_object(
        'domain_event_id', left(nexus._uuid_at(clock_timestamp())::text, 14) || '7' || substr(gen_random_uuid()::text, 16),
        'dedupe_key', gen_random_uuid(), 'trace_id', replace(gen_random_uuid()::text, '-', '')))
    from (select * from nexus.domain_event e where e.tenant_id = $1 and e.event_type = 'order.created'
          order by e.domain_event_id limit 1) t,
         generate_series(1, $2)))
