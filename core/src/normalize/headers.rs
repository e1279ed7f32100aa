//! A request's headers.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Headers by name, whatever case they came in.
///
/// The pseudo-headers `:path` and `:query` hold the request's path, and its query without the question
/// mark, for platforms that put the topic there. A header that came more than once has its values joined
/// by `, `, as HTTP allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Headers out of names and values.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: Into<String>,
    {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.insert(name.as_ref(), value.into());
        }
        headers
    }

    /// Headers out of a JSON object of texts, or of lists of texts. Anything else in it is left out.
    pub fn from_json(value: &Value) -> Self {
        let mut headers = Self::default();
        for (name, value) in value.as_object().into_iter().flatten() {
            match value {
                Value::String(text) => headers.insert(name, text.clone()),
                Value::Number(number) => headers.insert(name, number.to_string()),
                Value::Array(values) => values
                    .iter()
                    .filter_map(Value::as_str)
                    .for_each(|text| headers.insert(name, text.to_owned())),
                _ => {}
            }
        }
        headers
    }

    /// The headers as a JSON object, names in lower case.
    pub fn to_json(&self) -> Value {
        let members = self.0.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// Adds a header.
    pub fn insert(&mut self, name: &str, value: String) {
        match self.0.entry(name.to_ascii_lowercase()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(value);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let joined = entry.get_mut();
                joined.push_str(", ");
                joined.push_str(&value);
            }
        }
    }

    /// A header's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Manifests are compiled with lower-case names, so that most look-ups allocate nothing.
        let found = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.0.get(&name.to_ascii_lowercase())
        } else {
            self.0.get(name)
        };
        found.map(String::as_str)
    }

    /// All names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
