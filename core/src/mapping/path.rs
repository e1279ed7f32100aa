//! Paths: RFC 9535 JSONPath.
//!
//! Nearly every path in a manifest is a chain of names, indices, `[*]` and simple filters; those are walked directly.
//! All others go to `serde_json_path`.

use super::filter::Filter;
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
    /// Names, indices and `[*]`.
    Simple(Vec<Step>),
    /// Others as well.
    Chosen(Vec<Step>),
    General(Box<JsonPath>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
    /// Counted from the end: the last is 1.
    FromEnd(usize),
    All,
    Where(Filter),
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
        let is_chosen = |step: &Step| matches!(step, Step::FromEnd(_) | Step::Where(_));
        let steps = match steps_of(text) {
            Some(steps) if steps.iter().any(is_chosen) => Steps::Chosen(steps),
            Some(steps) => Steps::Simple(steps),
            None => Steps::General(Box::new(general)),
        };
        Ok(Self { text: text.to_owned(), steps })
    }

    /// What it is made of, unless it is left to the library.
    pub(super) fn steps(&self) -> Option<&[Step]> {
        match &self.steps {
            Steps::Simple(steps) | Steps::Chosen(steps) => Some(steps),
            Steps::General(_) => None,
        }
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match &self.steps {
            Steps::Simple(steps) | Steps::Chosen(steps) => first(steps, value),
            Steps::General(path) => path.query(value).first(),
        }
    }

    /// All values that the path leads to, in document order.
    pub fn all<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match &self.steps {
            Steps::Simple(steps) | Steps::Chosen(steps) => {
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
            Steps::Chosen(_) | Steps::General(_) => true,
        }
    }
}

fn first<'a>(steps: &[Step], mut value: &'a Value) -> Option<&'a Value> {
    for (position, step) in steps.iter().enumerate() {
        value = match step {
            Step::Name(name) => value.as_object()?.get(name)?,
            Step::Index(index) => value.as_array()?.get(*index)?,
            Step::FromEnd(count) => {
                let items = value.as_array()?;
                items.get(items.len().checked_sub(*count)?)?
            }
            Step::All | Step::Where(_) => {
                let rest = &steps[position + 1..];
                let in_item = |item| step.takes(item).then(|| first(rest, item)).flatten();
                return match value {
                    Value::Array(items) => items.iter().find_map(in_item),
                    Value::Object(members) => members.values().find_map(in_item),
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
        (Step::FromEnd(count), Value::Array(items)) => {
            let item = items.len().checked_sub(*count).and_then(|index| items.get(index));
            item.into_iter().for_each(|value| all(rest, value, found));
        }
        (Step::All | Step::Where(_), Value::Array(items)) => {
            items.iter().filter(|item| step.takes(item)).for_each(|item| all(rest, item, found));
        }
        (Step::All | Step::Where(_), Value::Object(members)) => {
            members.values().filter(|item| step.takes(item)).for_each(|item| all(rest, item, found));
        }
        _ => {}
    }
}

impl Step {
    /// Whether a step to several values leads to this one.
    fn takes(&self, item: &Value) -> bool {
        match self {
            Step::Where(filter) => filter.holds(item),
            _ => true,
        }
    }
}

/// The steps of a path that can be walked.
fn steps_of(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, tail) = if let Some(tail) = rest.strip_prefix("[*]") {
            (Step::All, tail)
        } else if let Some(tail) = rest.strip_prefix("[?") {
            let (filter, tail) = Filter::compile(tail)?;
            (Step::Where(filter), tail)
        } else if let Some(tail) = rest.strip_prefix("[-") {
            let (count, tail) = tail.split_once(']')?;
            (Step::FromEnd(count.parse().ok().filter(|count| *count > 0)?), tail)
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
        let path = Path::compile("$.a[?length(@.k) == 1 && @.k == 'y'].v").unwrap();
        assert!(matches!(path.steps, Steps::General(_)));
        assert_eq!(path.first(&value), Some(&json!(2)));
        assert!(matches!(Path::compile("$..v").unwrap().steps, Steps::General(_)));
    }

    #[test]
    fn chooses_as_the_library_does() {
        let value = json!({
            "a": [{"k": "x", "v": 1}, {"k": "y", "v": 2, "o": {"p": null}}, {"v": 3}, 4, null, {"k": true}, {"k": 1.0}],
            "o": {"m": {"k": "y", "v": 5}, "n": {"k": null, "v": 6}},
            "e": [],
        });
        for text in [
            "$.a[?@.k == 'y'].v",
            "$.a[?@.k != 'y'].v",
            "$.o[?@.k == \"y\"].v",
            "$.o[? @.k ].v",
            "$.a[?@.o.p]",
            "$.a[?@.k == 'x' || @.k == 'y' && @.o.p].v",
            "$.a[?@.k == true]",
            "$.a[?@.k != false]",
            "$.o[?@.k == null]",
            "$.a[?@.k != 'x' && @.k != 'y']",
            "$.a[-1].k",
            "$.a[-3]",
            "$.a[-9]",
            "$.o[-1]",
            "$.e[?@.k == 'x'].v",
            "$.v[?@.k == 'x'].v",
        ] {
            let path = Path::compile(text).unwrap();
            assert!(matches!(path.steps, Steps::Chosen(_)), "{text} is walked");
            assert!(path.is_plural() && path.container(&value).is_none(), "{text}, as of the library");
            let expected = JsonPath::parse(text).unwrap().query(&value).all();
            assert_eq!(path.all(&value), expected, "{text}");
            assert_eq!(path.first(&value), expected.first().copied(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in ["", "a", "$.", "$[", "$.a[", "$..a..b", "$.a b"] {
            assert!(Path::compile(text).is_err(), "{text}");
        }
    }
}
