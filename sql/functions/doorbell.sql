-- The doorbell, rung only where somebody sleeps: a NOTIFY takes a lock on the whole instance at commit, and writes to the
-- log. docs/adr/0007-a-doorbell-for-sleepers.md says why no ring is lost.
--
-- Two advisory locks, of this database and this node as NOTIFY is. 'asleep' is held, shared, by the session of each that
-- sleeps, and goes with it. 'ringer' is held, shared, by each transaction that found nobody asleep, until it has ended.
-- Nobody waits for either, so that whoever takes one by hand costs others a needless ring or look and no more.

create function nexus.ring_doorbell() returns boolean
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- First this, then the look whether anybody sleeps. It fails while a sleeper asks who has not seen it.
    is_waited_for constant boolean := pg_try_advisory_xact_lock_shared(hashtextextended('nexus.doorbell.ringer', 0));
    -- In one expression, between whose parts no statement is cancelled: the lock does not stay.
    is_anyone_asleep constant boolean := case
        when pg_try_advisory_lock(hashtextextended('nexus.doorbell.asleep', 0))
        then not pg_advisory_unlock(hashtextextended('nexus.doorbell.asleep', 0)) else true end;
begin
    if is_waited_for and not is_anyone_asleep then
        return false;
    end if;
    notify nexus_doorbell;
    return true;
end;
$$;
comment on function nexus.ring_doorbell() is
    'Wakes those who sleep, when the transaction commits; whether there are any. Called after the work is written, in its transaction or a later one. Who is awake meanwhile looks once more before it sleeps.';

create function nexus.fall_asleep() returns boolean
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    -- It fails for the moment that a ringer looks.
    return pg_try_advisory_lock_shared(hashtextextended('nexus.doorbell.asleep', 0));
end;
$$;
comment on function nexus.fall_asleep() is
    'Asks to be rung for, in a session that has said listen nexus_doorbell, until wake_up() or its end; false: not now, try again.';

create function nexus.is_known_asleep() returns boolean
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return case when pg_try_advisory_lock(hashtextextended('nexus.doorbell.ringer', 0))
                then pg_advisory_unlock(hashtextextended('nexus.doorbell.ringer', 0)) else false end;
end;
$$;
comment on function nexus.is_known_asleep() is
    'Whether every transaction that does not ring for a sleeper of now has ended. Who has fallen asleep looks once more then, and until then now and again.';

create function nexus.wake_up() returns boolean
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return pg_advisory_unlock_shared(hashtextextended('nexus.doorbell.asleep', 0));
end;
$$;
comment on function nexus.wake_up() is 'Asks not to be rung for any more.';
