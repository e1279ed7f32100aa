//! A connector's manifest as it is written, in TOML or JSON. `docs/connectors.md` explains it to authors.

mod exchange;
mod receive;

pub use exchange::*;
pub use receive::*;

use crate::canonical::Snapshot;
use crate::error::{Code, Error};
use crate::mapping::{Expression, Fields, Predicate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// All that Nexus knows about a platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The connector type: the folder's name, such as `shopify`.
    #[serde(rename = "type")]
    pub connector_type: String,
    /// The platform's name, for people.
    pub name: String,
    /// What such a system is for. Views go by it: whether a sale has reached an ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Raised with every change of the manifest.
    pub version: u32,
    /// Where the platform documents what this manifest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documentation: Vec<String>,
    /// How the platform writes null, beside null: `""`, `false`, `"0001-01-01"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null_values: Vec<Value>,
    /// How an instance authenticates, and what must be set for one.
    #[serde(default)]
    pub auth: Auth,
    /// How its webhooks are received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive: Option<Receive>,
    /// How its records are fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// How records are written to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// Topics that are known and carry no entity of the canonical model, each with the reason. A name
    /// that ends in `*` stands for all that begin so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, String>,
    /// What wraps records: a key of a response, such as `data`, unless the response has an id and so is a
    /// record itself; or a path, such as `$.data.object`, for events that have ids of their own. The record
    /// is looked for in what they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub envelopes: Vec<String>,
    /// Sets of fields that several mappings share, for `use`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Fields>,
    /// The platform's records and what each says. Tried in the order of `rank`, then name, where a
    /// payload comes without a topic.
    #[serde(default)]
    pub entities: BTreeMap<String, Entity>,
}

/// What a platform is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A seller's own shop, on the web or at a till.
    Shop,
    /// Where many sellers sell.
    Marketplace,
    /// Keeps the books: ERP and accounting. What is sold elsewhere should come to be known here.
    Erp,
    /// Moves money.
    Payment,
}

/// How an instance authenticates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The ways the platform knows.
    pub methods: Vec<AuthMethod>,
    /// JSON Schema of an instance's settings.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub settings: Value,
    /// JSON Schema of an instance's secrets.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub secrets: Value,
}

/// A way to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A key or token that the platform gave its user, sent in a header.
    ApiKey,
    /// User name and password, by HTTP basic authentication.
    Basic,
    /// An access token by OAuth 2.0, renewed when it ends.
    Oauth2,
}

/// One sort of record of the platform.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Entity {
    /// The topics whose payload is such a record. A `*` stands for anything: `store/channel/*/order/created`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// The key under which a response holds one: `{"order": {…}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single: Option<String>,
    /// The key under which a response holds several: `{"orders": […]}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// How a bare record is told from others when no topic is given. It is asked of a list as well, before
    /// its items are looked at: `$[0].order_id` tells the lines of one order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect: Option<Predicate>,
    /// The place in the order of detection; the lowest is tried first.
    #[serde(skip_serializing_if = "is_default")]
    pub rank: u32,
    /// Such a record says only which record to fetch: its documents have a kind and an id, no fields. What
    /// it says is gone is gone all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub stub: bool,
    /// What a record claims, in the order in which it is to be stored.
    pub documents: Vec<DocumentRule>,
}

/// A canonical document that a record gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentRule {
    /// Its kind, such as `sales_order`.
    pub kind: String,
    /// Only when this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Predicate>,
    /// A document for each item that this finds; without it, one for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Expression>,
    /// The record's id in its source.
    pub external_id: Expression,
    /// When the source last changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_time: Option<Expression>,
    /// What the absence of a field means.
    #[serde(default = "full")]
    pub snapshot: Snapshot,
    /// A full snapshot is only full when this holds; otherwise it is partial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_when: Option<Predicate>,
    /// It says only which record to fetch, as all documents of a `stub` entity do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stub: bool,
    /// It says that the record is gone, always …
    #[serde(default, skip_serializing_if = "is_default")]
    pub deleted: bool,
    /// … or when this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_when: Option<Predicate>,
    /// Fields out of the manifest's `shapes`.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// The claimed fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: Fields,
}

fn full() -> Snapshot {
    Snapshot::Full
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Manifest {
    /// Reads a manifest written in TOML.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let value: Value =
            toml::from_str(text).map_err(|error| Error::new(Code::InvalidManifest, error.to_string()))?;
        Self::from_json(&value)
    }

    /// Reads a manifest written in JSON. The error names the place in the manifest.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        serde_path_to_error::deserialize(value).map_err(|error| Self::unfit(&error))
    }

    /// Why a value is no manifest, and where.
    pub(super) fn unfit(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
        let unfit = Error::new(Code::InvalidManifest, error.inner().to_string());
        match error.path().iter().next() {
            Some(_) => unfit.at(error.path().to_string()),
            None => unfit,
        }
    }

    /// The manifest in JSON; [`Self::from_json`] reads it back.
    pub fn to_json(&self) -> Result<Value, Error> {
        serde_json::to_value(self).map_err(|error| Error::new(Code::InvalidManifest, error.to_string()))
    }
}
