//! Manifests: the ones that came with this build, and those of the database, compiled once per backend and
//! version.

use crate::advisory;
use crate::error::{Result, internal, report};
use nexus_core::connector::{Connector, Manifest, built_in};
use nexus_core::error::{Code, Error};
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    static COMPILED: RefCell<HashMap<(String, i32), Rc<Connector>>> = RefCell::default();
}

/// The compiled manifest of a connector type's version. A version never changes, so neither does this; but one that this
/// very transaction registered may come to be another.
pub fn compiled(client: &SpiClient<'_>, connector_type: &str, version: i32) -> Result<Rc<Connector>> {
    let key = (connector_type.to_owned(), version);
    if let Some(connector) = COMPILED.with_borrow(|compiled| compiled.get(&key).cloned()) {
        return Ok(connector);
    }
    let (manifest, is_settled): (Option<JsonB>, Option<bool>) = client
        .select(
            "select m.manifest, m.registered_at <> now() from nexus.connector_type m
             where m.connector_type = $1 and m.version = $2",
            None,
            &[connector_type.into(), version.into()],
        )
        .and_then(|rows| rows.first().get_two())
        .map_err(internal)?;
    let manifest = manifest.ok_or_else(|| report(unknown(connector_type)))?;
    let connector = Rc::new(Connector::from_json(&manifest.0).map_err(report)?);
    if is_settled == Some(true) {
        COMPILED.with_borrow_mut(|compiled| compiled.insert(key, Rc::clone(&connector)));
    }
    Ok(connector)
}

/// The compiled manifest that is current: the database's, or before its first migration this build's.
pub fn current(client: &SpiClient<'_>, connector_type: &str) -> Result<Rc<Connector>> {
    let is_migrated: Option<bool> = client
        .select("select to_regclass('nexus.connector_type') is not null", None, &[])
        .and_then(|rows| rows.first().get_one())
        .map_err(internal)?;
    if is_migrated == Some(true) {
        let version: Option<i32> = client
            .select(
                "select max(m.version) from nexus.connector_type m where m.connector_type = $1 and m.is_current",
                None,
                &[connector_type.into()],
            )
            .and_then(|rows| rows.first().get_one())
            .map_err(internal)?;
        return compiled(client, connector_type, version.ok_or_else(|| report(unknown(connector_type)))?);
    }
    let (_, text) = built_in()
        .iter()
        .find(|(name, _)| *name == connector_type)
        .ok_or_else(|| report(unknown(connector_type)))?;
    Connector::from_toml(text).map(Rc::new).map_err(report)
}

/// A manifest that is there already under this version, or put there as the next one. One that comes with a
/// build becomes current unless an administrator has made another one current; one that is registered always
/// does. Returns its version.
pub fn register(
    client: &mut SpiClient<'_>,
    connector_type: &str,
    manifest: &Manifest,
    is_built_in: bool,
) -> Result<i32> {
    // Two at once would give two manifests one version.
    advisory::lock(std::iter::once(&*format!("connector type {connector_type}")));
    let manifest = serde_json::to_value(manifest).map_err(internal)?;
    let sha256 = Sha256::digest(manifest.to_string()).to_vec();
    let arguments = [connector_type.into(), sha256.clone().into()];
    let known: Option<i32> =
        client.update(KNOWN, None, &arguments).and_then(|rows| rows.first().get_one()).map_err(internal)?;
    let version = match known {
        Some(version) if is_built_in => return Ok(version),
        Some(version) => version,
        None => client
            .update(
                ADD,
                None,
                &[connector_type.into(), JsonB(manifest).into(), sha256.into(), is_built_in.into()],
            )
            .and_then(|rows| rows.first().get_one())
            .map_err(internal)?
            .ok_or_else(|| internal("the manifest was not added"))?,
    };
    let arguments = [connector_type.into(), version.into(), is_built_in.into()];
    client.update(RETIRE, None, &arguments).map_err(internal)?;
    client.update(MAKE_CURRENT, None, &[connector_type.into(), version.into()]).map_err(internal)?;
    Ok(version)
}

const KNOWN: &str = "
    select max(m.version) from nexus.connector_type m where m.connector_type = $1 and m.manifest_sha256 = $2";

const ADD: &str = "
    with added as (
        insert into nexus.connector_type (connector_type, version, manifest, manifest_sha256, is_current, is_built_in)
        select $1, coalesce(max(m.version), 0) + 1, $2, $3, false, $4
        from nexus.connector_type m where m.connector_type = $1
        returning version)
    select a.version from added a";

/// A built-in one gives way to whatever comes; one that was registered, only to another such.
const RETIRE: &str = "
    update nexus.connector_type m set is_current = false
    where m.connector_type = $1 and m.version <> $2 and m.is_current and (m.is_built_in or not $3)";

const MAKE_CURRENT: &str = "
    update nexus.connector_type m set is_current = true
    where m.connector_type = $1 and m.version = $2
      and not exists (select from nexus.connector_type o where o.connector_type = $1 and o.is_current)";

fn unknown(connector_type: &str) -> Error {
    let known: Vec<&str> = built_in().iter().map(|(name, _)| *name).collect();
    Error::new(Code::UnknownConnectorType, format!("there is no connector type \"{connector_type}\""))
        .hint(format!("one of {}, or one registered since", known.join(", ")))
}
