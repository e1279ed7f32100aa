//! Manifests: the ones that came with this build, and those of the database, compiled once per backend and
//! version.

use crate::error::{Result, internal, report};
use nexus_core::connector::{Connector, built_in};
use nexus_core::error::{Code, Error};
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    static COMPILED: RefCell<HashMap<(String, i32), Rc<Connector>>> = RefCell::default();
}

/// The compiled manifest of a connector type's version. A version never changes, so neither does this.
pub fn compiled(client: &SpiClient<'_>, connector_type: &str, version: i32) -> Result<Rc<Connector>> {
    let key = (connector_type.to_owned(), version);
    if let Some(connector) = COMPILED.with_borrow(|compiled| compiled.get(&key).cloned()) {
        return Ok(connector);
    }
    let manifest: Option<JsonB> = client
        .select(
            "select m.manifest from nexus.connector_type m where m.connector_type = $1 and m.version = $2",
            None,
            &[connector_type.into(), version.into()],
        )
        .and_then(|rows| rows.first().get_one())
        .map_err(internal)?;
    let manifest = manifest.ok_or_else(|| report(unknown(connector_type)))?;
    let connector = Rc::new(Connector::from_json(&manifest.0).map_err(report)?);
    COMPILED.with_borrow_mut(|compiled| compiled.insert(key, Rc::clone(&connector)));
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

fn unknown(connector_type: &str) -> Error {
    let known: Vec<&str> = built_in().iter().map(|(name, _)| *name).collect();
    Error::new(Code::UnknownConnectorType, format!("there is no connector type \"{connector_type}\""))
        .hint(format!("one of {}, or one registered since", known.join(", ")))
}
