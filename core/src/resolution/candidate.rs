//! Pairs that are likely the same thing, but not certainly: for a person to decide.

use super::key::{Key, KeyType};
use super::member::{Member, Names, difference, is_household, is_same_company, names};
use super::{Crowds, MOST_HOLDERS, MOST_MEMBERS, MOST_RELATED};
use crate::canonical::Kind;
use std::collections::BTreeSet;
use std::fmt;
use uuid::Uuid;

/// A pair below this is not worth a person's time, in hundredths.
const LEAST_SCORE: u8 = 40;

/// A pair of records for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The record with the lesser birth id.
    pub a: Uuid,
    /// The other one.
    pub b: Uuid,
    /// How likely they are the same, in hundredths: 40 to 99.
    pub score: u8,
    /// Why, and why not by itself: "same phone", "similar name", "same source".
    pub reasons: Vec<String>,
}

/// Why two records that share a key do not share an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// A person said that they are not the same.
    Forbidden,
    /// One source knows both, as two.
    SameSource,
    /// Another record could be meant as well.
    Contested,
    /// They share a mailbox and a last name.
    Household,
    /// They differ in what one thing has once.
    Different(&'static str),
    /// An order's number is the one referred to, its amount or date is not.
    OtherSale,
    /// What would keep them together is a record that its source has deleted.
    OnlyByDeleted,
    /// The entity would have too many records.
    TooLarge,
    /// Too many records are related for anything but what people and sources say themselves.
    TooRelated,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Forbidden => f.write_str("kept apart by a person"),
            Refusal::SameSource => f.write_str("same source"),
            Refusal::Contested => f.write_str("another record is as likely"),
            Refusal::Household => f.write_str("same last name, other first name"),
            Refusal::Different(what) => write!(f, "different {what}"),
            Refusal::OtherSale => f.write_str("other amount, currency or date"),
            Refusal::OnlyByDeleted => f.write_str("linked only by a deleted record"),
            Refusal::TooLarge => write!(f, "would exceed a cluster of {MOST_MEMBERS}"),
            Refusal::TooRelated => write!(f, "more than {MOST_RELATED} records are related"),
        }
    }
}

/// The pairs of a record with others that share a key with it which does not link: one that never does, or
/// one that is on too many records. `others` are in other entities, and no link of a person's joins or parts them
/// from the record; `crowds` says on how many records the record's keys are. A key on more than twenty suggests
/// nothing: no entity could hold them.
pub fn suggest(kind: &Kind, record: &Member, others: &[Member], crowds: &Crowds) -> Vec<Candidate> {
    let pair = |other: &Member| {
        let shared: Vec<(KeyType, usize)> = (record.keys.iter())
            .filter(|key| other.keys.binary_search(&partner(key)).is_ok())
            .filter_map(|key| {
                let on = crowds.of(key).live.max(crowds.of(&partner(key)).live);
                let is_suggesting = !key.key_type.is_linking() || on > MOST_HOLDERS;
                (is_suggesting && on <= MOST_MEMBERS).then_some((key.key_type, on))
            })
            .collect();
        let is_alive = record.is_live && other.is_live && record.birth_id != other.birth_id;
        (is_alive && !shared.is_empty()).then(|| candidate(kind, record, other, &shared, None))?
    };
    let mut candidates: Vec<Candidate> = others.iter().filter_map(pair).collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

fn partner(key: &Key) -> Key {
    Key { key_type: key.key_type.counterpart(), value: key.value.clone() }
}

/// A pair that shares keys of these types, each on so many records; `None` where it is hardly likely.
pub(super) fn candidate(
    kind: &Kind,
    one: &Member,
    other: &Member,
    shared: &[(KeyType, usize)],
    refusal: Option<Refusal>,
) -> Option<Candidate> {
    let mut reasons = BTreeSet::new();
    // The chance that none of the evidence means anything, as if each piece stood for itself.
    let mut doubt = 1.0;
    for (key_type, on) in shared {
        let crowding = if *on > MOST_HOLDERS { MOST_HOLDERS as f64 / *on as f64 } else { 1.0 };
        doubt *= 1.0 - weight(*key_type) * crowding;
        reasons.insert(format!("same {}", key_type.label()));
        if *on > MOST_HOLDERS {
            reasons.insert(format!("{} on {on} records", key_type.label()));
        }
    }
    let mut score = 1.0 - doubt;
    if kind.name == "customer" {
        match names(one, other) {
            Names::Agree => {
                score = 1.0 - (1.0 - score) * 0.4;
                reasons.insert("similar name".to_owned());
            }
            Names::Differ => {
                score *= 0.5;
                let name = if is_household(one, other) {
                    Refusal::Household.to_string()
                } else {
                    "other first name".to_owned()
                };
                reasons.insert(name);
            }
            Names::Unknown => {}
        }
        if is_same_company(one, other) {
            score = 1.0 - (1.0 - score) * 0.5;
            reasons.insert("similar company".to_owned());
        }
    }
    if let Some(what) = difference(one, other) {
        score *= 0.6;
        reasons.insert(Refusal::Different(what).to_string());
    }
    if one.connector_id == other.connector_id {
        reasons.insert(Refusal::SameSource.to_string());
    }
    reasons.extend(refusal.map(|refusal| refusal.to_string()));
    // Between 0 and 1, so nothing is lost; never certain, or it would be no question.
    let score = ((score * 100.0).round() as u8).min(99);
    let (a, b) = (one.birth_id.min(other.birth_id), one.birth_id.max(other.birth_id));
    (score >= LEAST_SCORE).then(|| Candidate { a, b, score, reasons: reasons.into_iter().collect() })
}

/// How likely records with such a key in common are the same, all else unknown: estimates, in the order of
/// what identifies best, so that people see the likeliest pairs first.
const fn weight(key_type: KeyType) -> f64 {
    match key_type {
        KeyType::Reference => 0.95,
        KeyType::VatNumber | KeyType::RegistrationNumber | KeyType::Gtin => 0.9,
        KeyType::Email => 0.85,
        KeyType::OrderNumber | KeyType::OrderReference => 0.7,
        KeyType::Sku | KeyType::Phone | KeyType::Title => 0.6,
        KeyType::SharedEmail | KeyType::Address => 0.35,
    }
}
