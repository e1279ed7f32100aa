-- Where the outbox stands: on which cluster and timeline transaction ids are counted, and whether dispatchers may
-- send there.

create function nexus._begin_epoch() returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    current_timeline constant integer := nexus._timeline();
    this_cluster constant bigint := (select s.system_identifier from pg_control_system() s);
    known nexus.outbox_epoch;
begin
    select * into known from nexus.outbox_epoch o order by o.epoch desc limit 1;
    if known.epoch is null or known.system_identifier <> this_cluster or known.timeline <> current_timeline then
        -- Of several at once the first begins it, and the others wait: none writes on in the epoch before.
        insert into nexus.outbox_epoch (epoch, system_identifier, timeline, accepted_at)
        values (coalesce(known.epoch, 0) + 1, this_cluster, current_timeline, case
            when known.epoch is null then now()
            when known.accepted_at is not null and known.system_identifier = this_cluster
                 and nexus._accepts_promotion(known.timeline, current_timeline) then now()
            end)
        on conflict (epoch) do nothing;
    end if;
    return (select max(o.epoch) from nexus.outbox_epoch o);
end;
$$;
comment on function nexus._begin_epoch() is
    'Begins a new epoch of the outbox where the database stands on another cluster or timeline than before; the current epoch.';

create function nexus._epoch() returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    known nexus.outbox_epoch;
begin
    select * into known from nexus.outbox_epoch o order by o.epoch desc limit 1;
    -- Another cluster shows by migrate(), without which nothing runs there; another timeline only here.
    if known.timeline = nexus._timeline() then
        return known.epoch;
    end if;
    return nexus._begin_epoch();
end;
$$;
comment on function nexus._epoch() is 'The epoch that an event is written in.';

create function nexus._is_accepted() returns boolean
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    known nexus.outbox_epoch;
begin
    select * into known from nexus.outbox_epoch o order by o.epoch desc limit 1;
    return known.accepted_at is not null and known.timeline = nexus._timeline()
       and known.system_identifier = (select s.system_identifier from pg_control_system() s);
end;
$$;
comment on function nexus._is_accepted() is
    'Whether dispatchers may send: the database stands where it stood before, or an operator has accepted that it does not.';

create function nexus.accept_epoch() returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    current_epoch integer;
begin
    perform nexus._require_role('nexus_admin');
    current_epoch := nexus._begin_epoch();
    update nexus.outbox_epoch o set accepted_at = now() where o.epoch = current_epoch and o.accepted_at is null;
    if found then
        perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'epoch.accepted', 'outbox_epoch', null,
                             jsonb_build_object('epoch', current_epoch));
    end if;
    return current_epoch;
end;
$$;
comment on function nexus.accept_epoch() is
    'Lets dispatchers send again after a restore or promotion, also what may have been sent before it; the current epoch.';

create function nexus.outbox_status()
returns table (epoch integer, is_accepted boolean, readable_before bigint, next_xact_id bigint)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_gateway');
    epoch := nexus._begin_epoch();
    is_accepted := nexus._is_accepted();
    readable_before := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    next_xact_id := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    return next;
end;
$$;
comment on function nexus.outbox_status() is
    'What a gateway watches: the epoch, begun if need be, whether dispatchers may send in it, the transaction before which all events are readable, and the next one to begin.';
