//! Connectors: what is known of a platform, checked and compiled once.
//!
//! A [`Manifest`] is data, as an author writes it. [`Connector::compile`] checks all of it against the
//! canonical model and turns its paths and expressions into a form that is fast to run; nothing in it can
//! fail later for a reason that could have been known before.

mod check;
mod compile;
mod lineage;
mod manifest;
mod schema;
mod settings;

pub use check::Mistake;
pub use lineage::Lineage;
pub use manifest::*;
pub use schema::manifest_schema;

use crate::canonical::{Kind, Snapshot};
use crate::error::{Code, Error};
use crate::mapping::{Condition, FieldMapping, Mapping, Path, Reads};
use std::collections::BTreeMap;

/// The manifests that come with Nexus: connector type and TOML, in alphabetical order.
pub fn built_in() -> &'static [(&'static str, &'static str)] {
    include!(concat!(env!("OUT_DIR"), "/built_in.rs"))
}

/// A manifest that has been checked and compiled.
#[derive(Debug)]
pub struct Connector {
    manifest: Manifest,
    receive: CompiledReceive,
    envelopes: Vec<Envelope>,
    entities: Vec<CompiledEntity>,
    /// What of a payload is read; `None` where that may be anything.
    reads: Option<Reads>,
    push: BTreeMap<&'static str, CompiledPush>,
}

/// What wraps records, compiled.
#[derive(Debug)]
pub(crate) enum Envelope {
    Key(String),
    Path(Path),
}

/// Where a request says what it is about, compiled.
#[derive(Debug, Default)]
pub(crate) struct CompiledReceive {
    pub events: Vec<Path>,
    pub topic: Option<Mapping>,
    pub delivery_id: Option<Mapping>,
    pub emitted_at: Option<Mapping>,
    pub shop: Option<Mapping>,
}

/// The request that writes one kind to a destination, compiled.
#[derive(Debug)]
pub struct CompiledPush {
    /// Its body, of a canonical document.
    pub body: FieldMapping,
    id: Option<Path>,
}

/// An entity, compiled.
#[derive(Debug)]
pub(crate) struct CompiledEntity {
    pub name: String,
    pub topics: Vec<String>,
    pub single: Option<String>,
    pub list: Option<String>,
    pub detect: Option<Condition>,
    pub documents: Vec<CompiledDocument>,
}

/// A document rule, compiled.
#[derive(Debug)]
pub(crate) struct CompiledDocument {
    pub kind: &'static Kind,
    pub when: Option<Condition>,
    pub each: Option<Mapping>,
    pub external_id: Mapping,
    pub source_time: Option<Mapping>,
    pub snapshot: Snapshot,
    pub full_when: Option<Condition>,
    pub stub: bool,
    pub deleted: bool,
    pub deleted_when: Option<Condition>,
    /// Document names and what they are mapped from.
    pub fields: Vec<(&'static str, Mapping)>,
}

impl Connector {
    /// Checks a manifest and compiles it. The error names the place in the manifest and the reason.
    pub fn compile(manifest: Manifest) -> Result<Connector, Error> {
        let connector_type = manifest.connector_type.clone();
        compile::connector(manifest).map_err(|mistakes| {
            let first = mistakes.into_iter().next();
            let error = first.unwrap_or_else(|| Error::new(Code::Internal, "refused without a reason"));
            Error { message: format!("manifest \"{connector_type}\": {}", error.message), ..error }
        })
    }

    /// Reads, checks and compiles a manifest written in TOML.
    pub fn from_toml(text: &str) -> Result<Connector, Error> {
        Self::compile(Manifest::from_toml(text)?)
    }

    /// Reads, checks and compiles a manifest written in JSON.
    pub fn from_json(manifest: &serde_json::Value) -> Result<Connector, Error> {
        Self::compile(Manifest::from_json(manifest)?)
    }

    /// The manifest it was compiled from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The connector type, such as `shopify`.
    pub fn connector_type(&self) -> &str {
        &self.manifest.connector_type
    }

    /// How its webhooks are received; `None` for platforms that send none.
    pub fn receive(&self) -> Option<&Receive> {
        self.manifest.receive.as_ref()
    }

    /// The HTTP status for what was accepted, ignored or quarantined.
    pub fn response_status(&self) -> u16 {
        self.receive().and_then(|receive| receive.response_status).unwrap_or(202)
    }

    /// Why a topic carries no entity, if the manifest knows it.
    pub fn ignored_reason(&self, topic: &str) -> Option<&str> {
        self.manifest
            .ignored
            .iter()
            .find(|(name, _)| stands_for(name, topic))
            .map(|(_, reason)| reason.as_str())
    }

    /// What the platform writes for null.
    pub(crate) fn null_values(&self) -> &[serde_json::Value] {
        &self.manifest.null_values
    }

    /// How documents of a kind are written to it; `None` where that is not said.
    pub fn push(&self, kind: &str) -> Option<&CompiledPush> {
        self.push.get(kind)
    }

    pub(crate) fn compiled_receive(&self) -> &CompiledReceive {
        &self.receive
    }

    pub(crate) fn envelopes(&self) -> &[Envelope] {
        &self.envelopes
    }

    pub(crate) fn reads(&self) -> Option<&Reads> {
        self.reads.as_ref()
    }

    pub(crate) fn entities(&self) -> &[CompiledEntity] {
        &self.entities
    }
}

impl CompiledPush {
    /// The id of the record that was written, out of the platform's answer.
    pub fn id_in(&self, answer: &serde_json::Value) -> Option<String> {
        match self.id.as_ref()?.first(answer)? {
            serde_json::Value::String(id) => Some(id.clone()),
            serde_json::Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }
}

impl CompiledEntity {
    /// Whether a payload of this topic is such a record.
    pub fn takes(&self, topic: &str) -> bool {
        self.topics.iter().any(|name| stands_for(name, topic))
    }
}

/// Whether a topic's name in a manifest means this topic: a `*` in it stands for anything.
fn stands_for(name: &str, topic: &str) -> bool {
    match name.split_once('*') {
        None => name == topic,
        Some((beginning, end)) => {
            topic.strip_prefix(beginning).is_some_and(|rest| rest.len() >= end.len() && rest.ends_with(end))
        }
    }
}
