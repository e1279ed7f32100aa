//! Paths: RFC 9535 JSONPath.
//!
//! Nearly every path in a manifest is a chain of names, indices and `[*]`; those are walked directly.
//! All others go to `serde_json_path`.

use crate::error::{Code, Error};
use serde_json::Value;
use serde_json_path::JsonPath;

/// A compiled path.
#[derive(Debug)]
pub(crate) struct Path {
    text: String,
    steps: Steps,
}

#[derive(Debug)]
enum Steps {
    Simple(Vec<Step>),
    General(Box<JsonPath>),
}

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    All,
}

impl Path {
    /// Compiles a path.
    pub fn compile(text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| {
            Error::new(Code::InvalidManifest, format!("\"{text}\" is not a JSONPath: {reason}"))
        };
        let general = JsonPath::parse(text).map_err(|error| invalid(error.to_string()))?;
        // Two of them in one path multiply: the time would not be bounded by the payload's size.
        if text.matches("..").count() > 1 {
            return Err(invalid("it descends (\"..\") more than once".to_owned()));
        }
        let steps = simple(text).map_or_else(|| Steps::General(Box::new(general)), Steps::Simple);
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match &self.steps {
            Steps::Simple(steps) => first(steps, value),
            Steps::General(path) => path.query(value).first(),
        }
    }

    /// All values that the path leads to, in document order.
    pub fn all<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match &self.steps {
            Steps::Simple(steps) => {
                let mut found = Vec::new();
                all(steps, value, &mut found);
                found
            }
            Steps::General(path) => path.query(value).all(),
        }
    }

    /// The list or object that the path goes through to find several values, if it is there.
    pub fn container<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let Steps::Simple(steps) = &self.steps else { return None };
        let end = steps.iter().position(|step| *step == Step::All).unwrap_or(steps.len());
        first(&steps[..end], value).filter(|value| value.is_array() || value.is_object())
    }

    /// Whether the path can lead to several values.
    pub fn is_plural(&self) -> bool {
        match &self.steps {
            Steps::Simple(steps) => steps.contains(&Step::All),
            Steps::General(_) => true,
        }
    }
}

fn first<'a>(steps: &[Step], mut value: &'a Value) -> Option<&'a Value> {
    for (position, step) in steps.iter().enumerate() {
        value = match step {
            Step::Name(name) => value.as_object()?.get(name)?,
            Step::Index(index) => value.as_array()?.get(*index)?,
            Step::All => {
                let rest = &steps[position + 1..];
                return match value {
                    Value::Array(items) => items.iter().find_map(|item| first(rest, item)),
                    Value::Object(members) => members.values().find_map(|item| first(rest, item)),
                    _ => None,
                };
            }
        };
    }
    Some(value)
}

/// Recursion is as deep as the path is long.
fn all<'a>(steps: &[Step], value: &'a Value, found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return;
    };
    match (step, value) {
        (Step::Name(name), Value::Object(members)) => {
            members.get(name).into_iter().for_each(|value| all(rest, value, found));
        }
        (Step::Index(index), Value::Array(items)) => {
            items.get(*index).into_iter().for_each(|value| all(rest, value, found));
        }
        (Step::All, Value::Array(items)) => items.iter().for_each(|item| all(rest, item, found)),
        (Step::All, Value::Object(members)) => {
            members.values().for_each(|item| all(rest, item, found));
        }
        _ => {}
    }
}

/// The steps of a path that is made of names, indices and `[*]` only.
fn simple(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, tail) = if let Some(tail) = rest.strip_prefix("[*]") {
            (Step::All, tail)
        } else if let Some(tail) = rest.strip_prefix("['") {
            let (name, tail) = tail.split_once("']")?;
            let is_plain = !name.contains(['\\', '\'', '"']);
            (Step::Name(is_plain.then(|| name.to_owned())?), tail)
        } else if let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']')?;
            (Step::Index(index.parse().ok()?), tail)
        } else {
            let tail = rest.strip_prefix('.')?;
            let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
            let end = tail.find(|char| !is_name(char)).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            (Step::Name((!name.is_empty()).then(|| name.to_owned())?), tail)
        };
        steps.push(step);
        rest = tail;
    }
    Some(steps)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn walks_simple_paths_as_the_library_does() {
        let value = json!({"a": [{"b": 1}, {"b": 2}, {"c": 3}], "k-y": {"x": null}, "o": {"p": [5]}});
        for text in
            ["$", "$.a", "$.a[1].b", "$.a[*].b", "$['k-y'].x", "$.o[*][0]", "$.none", "$.a.b", "$.a[9]"]
        {
            let path = Path::compile(text).unwrap();
            assert!(matches!(path.steps, Steps::Simple(_)), "{text} is simple");
            let expected = JsonPath::parse(text).unwrap().query(&value).all();
            assert_eq!(path.all(&value), expected, "{text}");
            assert_eq!(path.first(&value), expected.first().copied(), "{text}");
        }
    }

    #[test]
    fn leaves_other_paths_to_the_library() {
        let value = json!({"a": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]});
        let path = Path::compile("$.a[?@.k == 'y'].v").unwrap();
        assert!(matches!(path.steps, Steps::General(_)));
        assert_eq!(path.first(&value), Some(&json!(2)));
        assert_eq!(Path::compile("$.a[-1].v").unwrap().first(&value), Some(&json!(2)));
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in ["", "a", "$.", "$[", "$.a[", "$..a..b", "$.a b"] {
            assert!(Path::compile(text).is_err(), "{text}");
        }
    }
}
