-- Views over what stands elsewhere.

create view nexus.role_binding with (security_invoker = true) as
select m.rolname as role_name,
       case left(g.rolname, 8) when 'nexus_t_' then substr(g.rolname, 9)::uuid end as tenant_id,
       case left(g.rolname, 8) when 'nexus_e_' then substr(g.rolname, 9)::uuid end as environment_id
from pg_catalog.pg_auth_members am
join pg_catalog.pg_roles g on g.oid = am.roleid
join pg_catalog.pg_roles m on m.oid = am.member
where g.rolname ~ '^nexus_[te]_[0-9a-f]{32}$' and m.rolname !~ '^nexus_e_[0-9a-f]{32}$'
  and (pg_has_role(g.oid, 'member') or pg_has_role('nexus_admin', 'member'));
comment on view nexus.role_binding is
    'Which roles are bound to which tenant, or to which environment of one. Membership in the group roles is the binding. A bound role sees who shares its groups, an administrator everybody.';

create view nexus.access_report with (security_invoker = true) as
with recursive held (member, roleid, via) as (
    select m.member, m.roleid, array[]::name[] from pg_catalog.pg_auth_members m
    union all
    select h.member, m.roleid, h.via || r.rolname
    from held h
    join pg_catalog.pg_auth_members m on m.member = h.roleid
    join pg_catalog.pg_roles r on r.oid = h.roleid
)
select r.rolname as role_name,
       r.rolcanlogin as can_login,
       g.rolname as holds,
       h.via,
       case when g.rolname like 'nexus\_t\_%' then 'tenant' when g.rolname like 'nexus\_e\_%' then 'environment'
            else 'platform' end as access,
       t.tenant_id, t.slug as tenant, e.environment_id, e.name as environment
from held h
join pg_catalog.pg_roles r on r.oid = h.member
join pg_catalog.pg_roles g on g.oid = h.roleid
left join nexus.environment e on g.rolname = 'nexus_e_' || replace(e.environment_id::text, '-', '')
left join nexus.tenant t on t.tenant_id = e.tenant_id or g.rolname = 'nexus_t_' || replace(t.tenant_id::text, '-', '')
where (g.rolname ~ '^nexus_[te]_[0-9a-f]{32}$' or g.rolname in ('nexus_owner', 'nexus_system', 'nexus_admin', 'nexus_gateway'))
  and r.rolname !~ '^nexus_[te]_[0-9a-f]{32}$'
union all
select r.rolname, r.rolcanlogin, case when r.rolsuper then 'superuser' else 'bypassrls' end, array[]::name[], 'everything',
       null, null, null, null
from pg_catalog.pg_roles r where r.rolsuper or r.rolbypassrls;
comment on view nexus.access_report is
    'Who can see what: each role with the group it holds, directly or via others, and whoever row-level security does not bind. For administrators.';
