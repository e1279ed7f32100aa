//! What a login role is bound to, read from PostgreSQL's own caches.
//!
//! Every query of a tenant's login asks for it once for each of its tables. By a query over the catalogs the answer
//! takes longer than a look-up in a table does.

// What is unsafe is calls of PostgreSQL, each with what makes it sound above it.
#![allow(unsafe_code)]

use crate::error::Result;
use crate::functions::from_core;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid, SysCacheIdentifier};
use pgrx::prelude::*;
use std::collections::HashSet;
use std::ffi::CStr;

/// The id in the name of the group with this prefix that the login role holds, directly or by way of other groups:
/// `nexus_t_<tenant id>` or `nexus_e_<environment id>`. Null if it holds none; two are an error.
#[pg_extern(stable, parallel_safe)]
fn _bound_id(prefix: &str) -> Result<Option<pgrx::Uuid>> {
    // SAFETY: it reads a variable of the session, which a transaction always has.
    let login = unsafe { pg_sys::GetSessionUserId() };
    let groups = held_by(login).into_iter().filter_map(role_name);
    let mut bound: Vec<(uuid::Uuid, String)> =
        groups.filter_map(|group| Some((id_in_name(&group, prefix)?, group))).collect();
    match bound.len() {
        0 => Ok(None),
        1 => Ok(bound.pop().map(|(id, _)| from_core(id))),
        _ => {
            let mut held: Vec<String> = bound.into_iter().map(|(_, group)| group).collect();
            held.sort();
            let login = role_name(login).unwrap_or_default();
            let message = format!("role {login} is bound more than once: it holds {}", held.join(", "));
            Err(ErrorReport::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, "nexus")
                .set_hint("Keep one binding: select nexus.unbind_role(role).")
                .set_detail(r#"{"code": "NX304"}"#))
        }
    }
}

fn id_in_name(group: &str, prefix: &str) -> Option<uuid::Uuid> {
    let digits = group.strip_prefix(prefix)?;
    let is_hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() == 32 && is_hexadecimal).then(|| uuid::Uuid::try_parse(digits).ok())?
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
