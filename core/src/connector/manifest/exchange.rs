//! How records are fetched from a platform, and written to it.

use crate::mapping::Fields;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How records are fetched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pull {
    /// The beginning of every URL, with `{name}` for settings.
    pub base_url: String,
    /// The records that can be listed or fetched, by entity.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// How the next page is found.
    pub pagination: Pagination,
    /// Records on a page, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// Response headers that tell how much may still be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limit_headers: Vec<String>,
    /// How one learns that a record is gone, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletions: Option<String>,
}

/// Where one entity's records are fetched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Path and query of the list, appended to `base_url`.
    pub list: String,
    /// Query parameter that restricts the list to what changed since a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Path of one record, with `{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single: Option<String>,
    /// Query parameters that put the list in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// How the next page is found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pagination {
    /// The manner.
    pub kind: PaginationKind,
    /// The query parameter that carries page, offset or cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The query parameter of the page size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_parameter: Option<String>,
    /// Where the cursor or next link is in the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How the next page is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum PaginationKind {
    #[default]
    None,
    LinkHeader,
    Page,
    Offset,
    Cursor,
    NextLink,
}

/// How records are written to a destination.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// The beginning of every URL, with `{name}` for settings.
    pub base_url: String,
    /// The request per canonical kind.
    pub requests: BTreeMap<String, PushRequest>,
    /// Error codes that no retry will mend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permanent_errors: Vec<String>,
}

/// The request that writes one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushRequest {
    /// The HTTP method.
    pub method: String,
    /// The path, appended to `base_url`.
    pub path: String,
    /// The body, mapped from the canonical document.
    pub body: Fields,
    /// Where the answer holds the created record's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}
