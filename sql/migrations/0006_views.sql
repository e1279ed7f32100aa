-- Views over what stands elsewhere.

create view nexus.role_binding with (security_invoker = true) as
select m.rolname as role_name,
       case left(g.rolname, 8) when 'nexus_t_' then substr(g.rolname, 9)::uuid end as tenant_id,
       case left(g.rolname, 8) when 'nexus_e_' then substr(g.rolname, 9)::uuid end as environment_id
from pg_catalog.pg_auth_members am
join pg_catalog.pg_roles g on g.oid = am.roleid
join pg_catalog.pg_roles m on m.oid = am.member
where g.rolname ~ '^nexus_[te]_[0-9a-f]{32}$' and m.rolname !~ '^nexus_e_[0-9a-f]{32}$';
comment on view nexus.role_binding is
    'Which roles are bound to which tenant, or to which environment of one. Membership in the group roles is the binding.';
