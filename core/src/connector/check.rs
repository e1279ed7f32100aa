//! All that is wrong with a manifest, for its author.

use super::{Connector, Manifest, compile};
use crate::error::{Code, Error};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Mistakes of shape that are told; after so many it is another sort of file.
const MAX_MISTAKES: usize = 50;

/// A mistake in a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// The place in the manifest, and the reason.
    pub error: Error,
    /// The line of the file, counted from one, where it can be told.
    pub line: Option<usize>,
}

impl Connector {
    /// Reads, checks and compiles a manifest written in TOML, or names all that is wrong with it: what does not fit
    /// the schema, and in the rest what cannot be meant.
    pub fn check_toml(text: &str) -> Result<Connector, Vec<Mistake>> {
        let table = DeTable::parse(text).map_err(|error| vec![unreadable(text, &error)])?;
        let value = toml::from_str(text).map_err(|error| vec![unreadable(text, &error)])?;
        Self::check_json(&value).map_err(|errors| {
            let locate = |error: Error| {
                let line = error.path.as_deref().and_then(|path| line_of(text, &table, path));
                Mistake { error, line }
            };
            let mut mistakes: Vec<_> = errors.into_iter().map(locate).collect();
            mistakes.sort_by_key(|mistake| mistake.line);
            mistakes
        })
    }

    /// The same of a manifest in JSON.
    pub fn check_json(manifest: &Value) -> Result<Connector, Vec<Error>> {
        let (manifest, mut mistakes) = readable_part(manifest.clone());
        let Some(manifest) = manifest else { return Err(mistakes) };
        match compile::connector(manifest) {
            Ok(connector) if mistakes.is_empty() => Ok(connector),
            Ok(_) => Err(mistakes),
            Err(found) => {
                // Taking a part out makes what held it look wanting; of that the author has been told.
                let misses_a_part = |error: &Error| {
                    let place = error.path.as_deref().unwrap_or_default();
                    mistakes
                        .iter()
                        .filter_map(|mistake| mistake.path.as_deref())
                        .any(|part| part.starts_with(place))
                };
                let found: Vec<_> = found.into_iter().filter(|error| !misses_a_part(error)).collect();
                mistakes.extend(found);
                Err(mistakes)
            }
        }
    }
}

fn unreadable(text: &str, error: &toml::de::Error) -> Mistake {
    let line = error.span().map(|span| line_at(text, span.start));
    Mistake { error: Error::new(Code::InvalidManifest, format!("is not TOML: {}", error.message())), line }
}

/// The manifest without the parts that do not fit the schema, and what is wrong with those.
fn readable_part(mut value: Value) -> (Option<Manifest>, Vec<Error>) {
    let mut mistakes: Vec<Error> = Vec::new();
    while mistakes.len() < MAX_MISTAKES {
        let error = match serde_path_to_error::deserialize::<_, Manifest>(&value) {
            Ok(manifest) => return (Some(manifest), mistakes),
            Err(error) => error,
        };
        let mistake = Manifest::unfit(&error);
        let missing = mistake.message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let missing = missing.map(|(name, _)| name.to_owned());
        // Of a part that was taken out the author has been told.
        let place = missing.as_ref().map(|name| match &mistake.path {
            Some(path) => format!("{path}.{name}"),
            None => name.clone(),
        });
        if place.is_none() || !mistakes.iter().any(|told| told.path == place) {
            mistakes.push(mistake);
        }
        let is_mended = match (missing, value.as_object_mut()) {
            (Some(name), Some(members)) if error.path().iter().next().is_none() => {
                let stand_in = if name == "version" { Value::from(1) } else { Value::from("stand-in") };
                members.insert(name, stand_in).is_none()
            }
            _ => remove(&mut value, error.path()),
        };
        if !is_mended {
            break;
        }
    }
    (None, mistakes)
}

/// Takes out what a path leads to. Whether that could be done; of a list's items only together, so that those that
/// are left keep their places.
fn remove(value: &mut Value, path: &Path) -> bool {
    let segments: Vec<_> = path.iter().collect();
    let member = segments.iter().rposition(|segment| matches!(segment, Segment::Map { .. }));
    let Some(member) = member else { return false };
    let mut holder = value;
    for segment in &segments[..member] {
        let next = match segment {
            Segment::Map { key } => holder.get_mut(key),
            Segment::Seq { index } => holder.get_mut(*index),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        match next {
            Some(next) => holder = next,
            None => return false,
        }
    }
    match (holder, segments[member]) {
        (Value::Object(members), Segment::Map { key }) => members.remove(key).is_some(),
        _ => false,
    }
}

/// The line of the innermost part of a place that the file has.
fn line_of(text: &str, table: &Spanned<DeTable<'_>>, path: &str) -> Option<usize> {
    let mut line = None;
    let mut rest = path;
    let mut part = Part::Table(table.get_ref());
    while !rest.is_empty() {
        let next = match part {
            Part::Table(table) => {
                // Names may have dots in them: the longest that the place begins with is meant.
                let is_next = |name: &str| {
                    let tail = rest.strip_prefix(name);
                    tail.is_some_and(|tail| tail.is_empty() || tail.starts_with(['.', '[']))
                };
                let members = table.iter().filter(|(name, _)| is_next(name.get_ref()));
                members.max_by_key(|(name, _)| name.get_ref().len()).map(|(name, value)| {
                    rest = rest[name.get_ref().len()..].trim_start_matches('.');
                    (name.span().start, value)
                })
            }
            Part::List(items) => {
                let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let found =
                    index.and_then(|(index, tail)| Some((items.get(index.parse::<usize>().ok()?)?, tail)));
                found.map(|(value, tail)| {
                    rest = tail.trim_start_matches('.');
                    (value.span().start, value)
                })
            }
            Part::Other => None,
        };
        let Some((start, value)) = next else { break };
        line = Some(line_at(text, start));
        part = match value.get_ref() {
            DeValue::Table(table) => Part::Table(table),
            DeValue::Array(items) => Part::List(items),
            _ => Part::Other,
        };
    }
    line
}

/// A part of a file.
enum Part<'t> {
    Table(&'t DeTable<'t>),
    List(&'t [Spanned<DeValue<'t>>]),
    Other,
}

fn line_at(text: &str, place: usize) -> usize {
    text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1
}
