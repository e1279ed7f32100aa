//! Who asks, and for whom, read from PostgreSQL's own caches.
//!
//! Every query of a tenant's login asks for its binding once for each of its tables, and every function for its caller.
//! By a query over the catalogs the answer takes longer than a look-up in a table does.

// What is unsafe is calls of PostgreSQL, each with what makes it sound above it.
#![allow(unsafe_code)]

use crate::error::Result;
use crate::functions::{from_core, to_core};
use crate::guc;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid, SysCacheIdentifier};
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use uuid::Uuid;

const TENANT: &str = "nexus_t_";
const ENVIRONMENT: &str = "nexus_e_";

/// The tenant this session may see: by the binding of its login role; for the gateway, by the setting
/// `nexus.tenant_id`.
#[pg_extern(stable, parallel_safe)]
fn current_tenant_id() -> Result<Option<pgrx::Uuid>> {
    Ok(current_id(TENANT, guc::tenant_id)?.map(from_core))
}

/// The one environment this session may see, or null for all of its tenant's.
#[pg_extern(stable, parallel_safe)]
fn current_environment_id() -> Result<Option<pgrx::Uuid>> {
    Ok(current_id(ENVIRONMENT, guc::environment_id)?.map(from_core))
}

/// The id in the name of the login's group with this prefix; for the gateway, which is bound to none, the setting's.
fn current_id(prefix: &str, setting: fn() -> Option<CString>) -> Result<Option<Uuid>> {
    let login = login();
    let groups: Vec<String> = held_by(login).into_iter().filter_map(role_name).collect();
    let bound = bound_id(&groups, prefix, login)?;
    let is_bound = [TENANT, ENVIRONMENT].iter().any(|prefix| ids_in(&groups, prefix).next().is_some());
    if is_bound || !is_member(login, c"nexus_gateway") {
        return Ok(bound);
    }
    let said = setting();
    let text = said.as_deref().map(CStr::to_string_lossy).filter(|text| !text.is_empty());
    text.map(|text| Uuid::parse_str(&text).map_err(|_| no_id(&text))).transpose()
}

/// The id of the group with this prefix that a role holds, directly or by way of other groups:
/// `nexus_t_<tenant id>` or `nexus_e_<environment id>`. Two are an error.
fn bound_id(groups: &[String], prefix: &str, login: Oid) -> Result<Option<Uuid>> {
    let mut bound: Vec<(Uuid, &str)> = ids_in(groups, prefix).collect();
    match bound.len() {
        0 | 1 => Ok(bound.pop().map(|(id, _)| id)),
        _ => {
            let mut held: Vec<&str> = bound.into_iter().map(|(_, group)| group).collect();
            held.sort_unstable();
            let login = role_name(login).unwrap_or_default();
            let message = format!("role {login} is bound more than once: it holds {}", held.join(", "));
            Err(refusal(message, "Keep one binding: select nexus.unbind_role(role).", "NX304"))
        }
    }
}

fn ids_in<'a>(groups: &'a [String], prefix: &str) -> impl Iterator<Item = (Uuid, &'a str)> {
    groups.iter().filter_map(move |group| Some((id_in_name(group, prefix)?, group.as_str())))
}

fn no_id(text: &str) -> ErrorReport {
    let message = format!("invalid input syntax for type uuid: \"{text}\"");
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION, message, "nexus")
}

fn refusal(message: String, hint: &str, code: &str) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, "nexus")
        .set_hint(hint)
        .set_detail(format!(r#"{{"code": "{code}"}}"#))
}

/// Whether the login role is a member of this nexus role, or a superuser.
#[pg_extern(stable, parallel_safe)]
fn _session_is(role_name: &str) -> bool {
    CString::new(role_name).is_ok_and(|role| is_member(login(), &role))
}

/// Whether a gateway asks, which has checked signatures and keys. A superuser may do the same, and has checked nothing.
#[pg_extern(stable, parallel_safe)]
fn _is_gateway() -> bool {
    let login = login();
    // SAFETY: it reads the cache of roles.
    is_member(login, c"nexus_gateway") && !unsafe { pg_sys::superuser_arg(login) }
}

/// Refuses to run in a definer function whose owner bypasses row-level security, which keeps such a function inside
/// its tenant: after a restore, before `migrate()` has set the owners again, it must not run at all.
#[pg_extern(stable, parallel_safe)]
fn _require_secured() -> Result<()> {
    // SAFETY: they read a variable of the session, which a transaction always has, and the cache of roles.
    let (user, bypasses) = unsafe {
        let user = pg_sys::GetUserId();
        (user, pg_sys::has_bypassrls_privilege(user))
    };
    if user == login() || !bypasses {
        return Ok(());
    }
    let message = format!("nexus functions run as {}, which bypasses row-level security", quoted(user));
    let hint = "Run select nexus.migrate() as a superuser: it sets owners and grants again.";
    Err(refusal(message, hint, "NX305"))
}

/// Refuses unless the login is a member of one of these nexus roles, or a superuser.
#[pg_extern(stable, parallel_safe)]
fn _require_role(roles: VariadicArray<'_, &str>) -> Result<()> {
    _require_secured()?;
    let roles: Vec<&str> = roles.iter().flatten().collect();
    if roles.iter().any(|role| _session_is(role)) {
        return Ok(());
    }
    let message = format!("role {} may not call this function", quoted(login()));
    Err(refusal(message, &format!("It is for members of {}.", roles.join(" and ")), "NX304"))
}

/// Refuses unless the session may act for the tenant: bound to it, gateway, admin or superuser.
#[pg_extern(stable, parallel_safe)]
fn _require_tenant(tenant_id: Option<pgrx::Uuid>) -> Result<()> {
    _require_secured()?;
    let login = login();
    let is_own = tenant_id.is_some() && tenant_id.map(to_core) == current_id(TENANT, guc::tenant_id)?;
    if is_own || is_member(login, c"nexus_gateway") || is_member(login, c"nexus_admin") {
        return Ok(());
    }
    let message = format!("role {} may not act for this tenant", quoted(login));
    let hint = "Ask a platform administrator for a binding: nexus.bind_role(role, tenant_id).";
    Err(refusal(message, hint, "NX304"))
}

fn login() -> Oid {
    // SAFETY: it reads a variable of the session, which a transaction always has.
    unsafe { pg_sys::GetSessionUserId() }
}

/// Whether the login is a member of this nexus role, or a superuser.
fn is_member(login: Oid, role: &CStr) -> bool {
    // SAFETY: they read the caches of roles and memberships; a role that is gone has no id, and no members.
    unsafe {
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        role != Oid::INVALID && pg_sys::is_member_of_role(login, role)
    }
}

fn quoted(role: Oid) -> String {
    quote_identifier(role_name(role).unwrap_or_default())
}

fn id_in_name(group: &str, prefix: &str) -> Option<Uuid> {
    let digits = group.strip_prefix(prefix)?;
    let is_hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() == 32 && is_hexadecimal).then(|| Uuid::try_parse(digits).ok())?
}

/// All groups of a role, those of its groups too.
fn held_by(role: Oid) -> HashSet<Oid> {
    let mut held = HashSet::new();
    let mut next = vec![role];
    while let Some(member) = next.pop() {
        next.extend(groups_of(member).into_iter().filter(|group| held.insert(*group)));
    }
    held
}

/// The groups that a role is a member of itself.
fn groups_of(member: Oid) -> Vec<Oid> {
    let cache = SysCacheIdentifier::AUTHMEMMEMROLE.cast_signed();
    let none = pg_sys::Datum::from(0);
    // SAFETY: the cache of pg_auth_members has the keys (member, group), from PostgreSQL 16 on (member, group, grantor);
    // only the first is looked for. The list stays in place until it is released, which an error does in our stead.
    unsafe {
        let list = pg_sys::SearchSysCacheList(cache, 1, member.into(), none, none);
        let members = (*list).members.as_slice((*list).n_members.unsigned_abs() as usize);
        let groups = members.iter().filter_map(|entry| Oid::from_datum((**entry).keys[1], false)).collect();
        pg_sys::ReleaseCatCacheList(list);
        groups
    }
}

fn role_name(role: Oid) -> Option<String> {
    // SAFETY: told not to mind a role that is gone, it gives null or a string of its own.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
