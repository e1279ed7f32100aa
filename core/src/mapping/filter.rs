//! Filters of paths that are simple: members compared with constants, or asked whether they are there.

use serde_json::Value;

/// Any of these, each all of these: `[?@.a == 'x' && @.b || @.c.d != 'y']`.
#[derive(Debug, PartialEq)]
pub(super) struct Filter(Vec<Vec<Test>>);

#[derive(Debug, PartialEq)]
struct Test {
    names: Vec<String>,
    /// What the member is or is not; it only has to be there where this says nothing.
    compared: Option<(bool, Value)>,
}

impl Filter {
    /// Reads what follows on `[?`, up to its bracket, and what follows on that. `None` for what is not simple: anything in
    /// parentheses, functions, numbers, other comparisons.
    pub fn compile(text: &str) -> Option<(Self, &str)> {
        let mut any = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (test, tail) = Test::compile(rest)?;
            any.last_mut()?.push(test);
            let tail = tail.trim_start_matches(' ');
            rest = if let Some(tail) = tail.strip_prefix(']') {
                return Some((Self(any), tail));
            } else if let Some(tail) = tail.strip_prefix("||") {
                any.push(Vec::new());
                tail
            } else {
                tail.strip_prefix("&&")?
            };
        }
    }

    /// Whether it holds for an item.
    pub fn holds(&self, item: &Value) -> bool {
        self.0.iter().any(|all| all.iter().all(|test| test.holds(item)))
    }

    /// The names of all members that it asks for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().flat_map(|test| &test.names).map(String::as_str)
    }
}

impl Test {
    fn compile(text: &str) -> Option<(Self, &str)> {
        let mut rest = text.trim_start_matches(' ').strip_prefix('@')?;
        let mut names = Vec::new();
        while let Some(tail) = rest.strip_prefix('.') {
            let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
            let end = tail.find(|char| !is_name(char)).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            names.push((!name.is_empty()).then(|| name.to_owned())?);
            rest = tail;
        }
        if names.is_empty() {
            return None;
        }
        let tail = rest.trim_start_matches(' ');
        let (is_equal, tail) = if let Some(tail) = tail.strip_prefix("==") {
            (true, tail)
        } else if let Some(tail) = tail.strip_prefix("!=") {
            (false, tail)
        } else {
            return Some((Self { names, compared: None }, tail));
        };
        let (value, tail) = constant(tail.trim_start_matches(' '))?;
        Some((Self { names, compared: Some((is_equal, value)) }, tail))
    }

    fn holds(&self, item: &Value) -> bool {
        let member = self.names.iter().try_fold(item, |value, name| value.as_object()?.get(name));
        match (&self.compared, member) {
            (None, member) => member.is_some(),
            // What is not there equals nothing.
            (Some((is_equal, _)), None) => !is_equal,
            (Some((is_equal, value)), Some(member)) => (member == value) == *is_equal,
        }
    }
}

/// Words and plain texts; what numbers equal is the library's to say.
fn constant(text: &str) -> Option<(Value, &str)> {
    for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
        if let Some(tail) = text.strip_prefix(word) {
            return Some((value, tail));
        }
    }
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let (inner, tail) = text[1..].split_once(quote)?;
    (!inner.contains('\\')).then(|| (Value::String(inner.to_owned()), tail))
}
