-- Where large values are. What is only ever added to and read whole keeps them in its rows, compressed, and moves to another
-- table (TOAST) only what does not fit into a page: cut in pieces there, a body of six kilobytes costs an event twice the
-- rows and index entries. Rows that change keep them apart, so that a change of a status does not write the document again.

do $$
declare
    large record;
begin
    for large in
        select a.attrelid::regclass as relation, a.attname as name, a.atttypid = any ('{jsonb, text[]}'::regtype[]) as is_compressible
        from pg_attribute a
        where a.attrelid = any ('{nexus.event, nexus.domain_event}'::regclass[])
          and a.attnum > 0 and not a.attisdropped and a.attstorage = 'x'
    loop
        -- All of a table's: what may move moves first, however small.
        execute format('alter table %s alter %I set storage main', large.relation, large.name);
        if large.is_compressible then
            execute format('alter table %s alter %I set compression lz4', large.relation, large.name);
        end if;
    end loop;
end;
$$;
