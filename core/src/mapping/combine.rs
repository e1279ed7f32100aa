//! Sources made of several expressions.

use super::decimal::Decimal;
use super::evaluate::{Found, text_of};
use super::{Mapping, Piece, Scope};
use crate::error::Error;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Adds to a total; whether the payload spoke of any term.
pub(super) fn add(terms: &[Mapping], scope: Scope<'_>, total: &mut Option<Decimal>) -> Result<bool, Error> {
    let mut is_present = false;
    for term in terms {
        let found = term.find(scope)?;
        is_present |= !matches!(found, Found::Absent);
        let values = match found.value() {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        for value in values.iter().filter(|value| !scope.means_null(value)) {
            scope.spend(1)?;
            let number = term.read_number(value)?;
            *total = Some(match total.take() {
                Some(total) => total.add(&number),
                None => number,
            });
        }
    }
    Ok(is_present)
}

/// The latest of the times that these find.
pub(super) fn latest<'a>(mappings: &[Mapping], scope: Scope<'_>) -> Result<Found<'a>, Error> {
    let mut latest = None;
    let mut is_present = false;
    for mapping in mappings {
        let found = mapping.find(scope)?;
        is_present |= !matches!(found, Found::Absent);
        let values = match found.value() {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        for value in values.iter().filter(|value| !scope.means_null(value)) {
            scope.spend(1)?;
            latest = latest.max(Some(mapping.read_time(value)?));
        }
    }
    Ok(match latest {
        Some(time) => Found::Owned(Value::String(time.to_string())),
        None if is_present => Found::Null,
        None => Found::Absent,
    })
}

pub(super) fn template<'a>(pieces: &[Piece], scope: Scope<'_>) -> Result<Found<'a>, Error> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Value(mapping) => match mapping.find(scope)? {
                Found::Absent => return Ok(Found::Absent),
                found => match found.value().and_then(text_of) {
                    Some(value) => text.push_str(&value),
                    None => return Ok(Found::Null),
                },
            },
        }
    }
    Ok(Found::Owned(Value::String(text)))
}

/// The first with a value; otherwise null if one was null, and absent if all were absent.
pub(super) fn first_of<'a>(mappings: &'a [Mapping], scope: Scope<'a>) -> Result<Found<'a>, Error> {
    let mut best = Found::Absent;
    for mapping in mappings {
        match mapping.find(scope)? {
            Found::Absent => {}
            Found::Null => best = Found::Null,
            found => return Ok(found),
        }
    }
    Ok(best)
}

pub(super) fn join<'a>(mappings: &[Mapping], separator: &str, scope: Scope<'_>) -> Result<Found<'a>, Error> {
    let mut joined: Option<String> = None;
    let mut add = |part: &str| match &mut joined {
        Some(joined) => {
            joined.push_str(separator);
            joined.push_str(part);
        }
        None => joined = Some(part.to_owned()),
    };
    let mut is_present = false;
    for mapping in mappings {
        let found = mapping.find(scope)?;
        is_present |= !matches!(found, Found::Absent);
        match found.value() {
            Some(Value::Array(values)) => values.iter().filter_map(text_of).for_each(|part| add(&part)),
            Some(value) => text_of(value).into_iter().for_each(|part| add(&part)),
            None => {}
        }
    }
    Ok(match (joined, is_present) {
        (Some(joined), _) => Found::Owned(Value::String(joined)),
        (None, true) => Found::Null,
        (None, false) => Found::Absent,
    })
}

pub(super) fn concat<'a>(mappings: &[Mapping], scope: Scope<'_>) -> Result<Found<'a>, Error> {
    let mut list: Option<Vec<Value>> = None;
    for mapping in mappings {
        match mapping.find(scope)?.into_value() {
            Some(Value::Array(values)) => match &mut list {
                Some(list) => list.extend(values),
                None => list = Some(values),
            },
            Some(value) => list.get_or_insert_with(Vec::new).push(value),
            None => {}
        }
    }
    Ok(list.map_or(Found::Absent, |list| Found::Owned(Value::Array(list))))
}

/// Gives child rows their positions, and an id to those that have none or that of another: a table's key
/// must hold whatever the platform sends.
pub(super) fn number_children(children: Vec<Value>) -> Vec<Value> {
    let mut taken: HashSet<String> = HashSet::with_capacity(children.len());
    let number = |(index, child): (usize, Value)| {
        let mut child = match child {
            Value::Object(child) => child,
            _ => Map::new(),
        };
        let position = index + 1;
        let own = child.get("external_id").and_then(Value::as_str).map(str::to_owned);
        let is_own = own.is_some();
        let mut id = own.unwrap_or_else(|| format!("position:{position}"));
        let mut attempt = 0;
        while taken.contains(&id) {
            id = format!("position:{position}{}", "'".repeat(attempt));
            attempt += 1;
        }
        if !is_own || attempt > 0 {
            child.insert("external_id".to_owned(), Value::String(id.clone()));
        }
        taken.insert(id);
        child.insert("position".to_owned(), Value::from(position));
        Value::Object(child)
    };
    children.into_iter().enumerate().map(number).collect()
}
