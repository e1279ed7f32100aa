-- What must not be claimed though it is due waits with due_at = 'infinity', where no claim looks: what is paused, and
-- what comes after another delivery of its entity. So a claim reads what it can take, however long the queue is.
create function nexus._lay_aside(tenant_id uuid, destinations uuid[], since timestamptz[], after uuid[]) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    page constant integer := 200;
begin
    -- The lock makes resuming wait, which then finds them.
    with paused as (
        select s.webhook_subscription_id as id, p.since, p.after
        from (select unnest($2) as id, unnest($3) as since, unnest($4) as after) p
        join nexus.webhook_subscription s on s.tenant_id = $1 and s.webhook_subscription_id = p.id
        where s.status = 'paused'
          and exists (select from nexus.delivery d where d.tenant_id = $1 and d.destination_id = p.id
                      and d.due_at <= now() and (d.due_at, d.delivery_id) >= (p.since, p.after))
        order by s.webhook_subscription_id for share of s
    ), head as (
        select h.delivery_id from paused p
        cross join lateral (
            select d.delivery_id from nexus.delivery d
            where d.tenant_id = $1 and d.destination_id = p.id
              and d.due_at <= now() and (d.due_at, d.delivery_id) >= (p.since, p.after)
              and (d.leased_until is null or d.leased_until < now())
            order by d.due_at, d.delivery_id limit page * 5) h
    )
    update nexus.delivery d set due_at = 'infinity', leased_until = null, leased_by = null
    where d.tenant_id = $1 and d.delivery_id = any (array(select h.delivery_id from head h))
      and (d.leased_until is null or d.leased_until < now());

    -- The first of its entity's deliveries is locked while those behind it are laid aside: settle, which ends it and
    -- then wakes the next, waits and finds them. A claim waits for nobody: what is locked is left to the next claim.
    for pages in 1..10 loop
        with due as (
            select d.delivery_id, d.destination_id, d.ordering_key
            from (select unnest($2) as id, unnest($3) as since, unnest($4) as after) p
            cross join lateral (
                select d.delivery_id, d.destination_id, d.ordering_key from nexus.delivery d
                where d.tenant_id = $1 and d.destination_id = p.id
                  and d.due_at <= now() and (d.due_at, d.delivery_id) >= (p.since, p.after)
                  and (d.leased_until is null or d.leased_until < now())
                order by d.due_at, d.delivery_id limit page) d
            where d.ordering_key is not null
        ), behind as (
            select d.delivery_id, f.delivery_id as first_id from due d
            cross join lateral (
                select f.delivery_id from nexus.delivery f
                where f.tenant_id = $1 and f.destination_id = d.destination_id and f.ordering_key = d.ordering_key
                order by f.ordering_version, f.domain_event_id, f.delivery_id limit 1) f
            where f.delivery_id <> d.delivery_id
        ), first as (
            select l.delivery_id from (select distinct b.first_id from behind b) b
            cross join lateral (
                select d.delivery_id from nexus.delivery d
                where d.tenant_id = $1 and d.delivery_id = b.first_id for no key update skip locked) l
        ), waiting as (
            select l.delivery_id from behind b join first f on f.delivery_id = b.first_id
            cross join lateral (
                select d.delivery_id from nexus.delivery d
                where d.tenant_id = $1 and d.delivery_id = b.delivery_id
                  and (d.leased_until is null or d.leased_until < now())
                for update skip locked) l
        )
        update nexus.delivery d set due_at = 'infinity', leased_until = null, leased_by = null
        where d.tenant_id = $1 and d.delivery_id = any (array(select w.delivery_id from waiting w));
        exit when not found;
    end loop;
end;
$$;
comment on function nexus._lay_aside(uuid, uuid[], timestamptz[], uuid[]) is
    'Takes out of the due of these destinations what cannot go out now: deliveries of paused subscriptions, and those behind another of their entity.';

create function nexus._wake_next(tenant_id uuid, destinations uuid[], ordering_keys uuid[]) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    -- Whoever has locked one of them deletes it with its subscription, or wakes it with all others.
    with next as (
        select n.delivery_id from (select unnest($2) as destination_id, unnest($3) as ordering_key) e
        cross join lateral (
            select n.delivery_id from nexus.delivery n
            where n.tenant_id = $1 and n.destination_id = e.destination_id and n.ordering_key = e.ordering_key
            order by n.ordering_version, n.domain_event_id, n.delivery_id limit 1) n
    ), locked as (
        select l.delivery_id from (select distinct n.delivery_id from next n) n
        cross join lateral (
            select d.delivery_id from nexus.delivery d
            where d.tenant_id = $1 and d.delivery_id = n.delivery_id and d.due_at = 'infinity' for update skip locked) l
    )
    update nexus.delivery d set due_at = now()
    where d.tenant_id = $1 and d.delivery_id = any (array(select l.delivery_id from locked l));
end;
$$;
comment on function nexus._wake_next(uuid, uuid[], uuid[]) is
    'After the end of ordered deliveries (the destination and ordering key of each): what waited for them is due.';
