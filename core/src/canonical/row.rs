//! Golden rows.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Columns by name: what is known when Nexus is built is never copied for a row.
pub type Row = BTreeMap<&'static str, Value>;

/// What has values by name: a document's fields, a golden row.
pub(crate) trait Members {
    /// The value of this name.
    fn member(&self, name: &str) -> Option<&Value>;
}

impl Members for Map<String, Value> {
    fn member(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Members for Row {
    fn member(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}
