//! How records are fetched from a platform, and written to it.

use super::is_default;
use crate::mapping::Fields;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How records are fetched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pull {
    /// The beginning of every URL, with `{name}` for settings.
    pub base_url: String,
    /// Headers of every request, with `{name}` for settings and secrets. One that names what an instance has
    /// not set is not sent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
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
///
/// In a body a text that is a name in braces and nothing else stands for that value: a setting's, or `{since}`,
/// `{page}`, `{offset}`, `{cursor}`, `{size}` of the list, `{id}` of the record. A number stays a number; what
/// there is not (the cursor of the first page) leaves its member out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Path and query of the list, appended to `base_url`.
    pub list: String,
    /// The list's method.
    #[serde(skip_serializing_if = "is_default")]
    pub method: Method,
    /// The list's body, in JSON. Where it names `{since}` or a place in the list, the query does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Headers of these requests beside those of all; with `{since}` as well.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Query parameter that restricts the list to what changed since a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Path of one record, with `{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single: Option<String>,
    /// The method of `single`.
    #[serde(skip_serializing_if = "is_default")]
    pub single_method: Method,
    /// The body of `single`, in JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_body: Option<Value>,
    /// Query parameters that put the list in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// An HTTP method to fetch with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The query is in the URL.
    #[default]
    Get,
    /// The query is in the body.
    Post,
}

/// How the next page is found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pagination {
    /// The manner.
    pub kind: PaginationKind,
    /// The query parameter that carries page, offset or cursor, where no body does.
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
pub enum PaginationKind {
    /// Not: one answer holds all.
    #[default]
    None,
    /// By the `rel="next"` of the `Link` header (RFC 8288).
    LinkHeader,
    /// By the page's number.
    Page,
    /// By how many records to leave out.
    Offset,
    /// By a cursor that the answer gives, sent back as a parameter.
    Cursor,
    /// By a URL that the answer gives.
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
