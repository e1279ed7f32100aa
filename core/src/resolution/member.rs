//! A source's record as resolution sees it: its keys, and what speaks for or against a key that it shares.

use super::content::Content;
use super::key::{Key, KeyType, Settings, keys, plain};
use crate::canonical::Kind;
use crate::identity::Scope;
use crate::mapping::decimal::Decimal;
use crate::register::Record;
use strsim::jaro_winkler;
use uuid::Uuid;

/// How alike two first names are at least that may be one person's: Jon and John are, Sanne and Anna are not.
const ALIKE: f64 = 0.85;

/// How alike two last names are at least that one family may have, slips of the pen included.
const FAMILY: f64 = 0.8;

/// How alike two last or company names are that are the same but for a slip of the pen.
const SAME: f64 = 0.92;

/// How far an order may be from the one it refers to: in amount, and in time, in microseconds.
const MOST_APART_AMOUNT: &str = "0.02";
const MOST_APART_TIME: i64 = 3 * 24 * 3600 * 1_000_000;

/// A source's record, as far as it matters for what it is the same as.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The record.
    pub birth_id: Uuid,
    /// Its source.
    pub connector_id: Uuid,
    /// When the source created it, in microseconds since 1970; `None`, the latest of all, where it does not say.
    pub source_created_at: Option<i64>,
    /// Whether its source still has it.
    pub is_live: bool,
    /// Its keys, sorted.
    pub keys: Vec<Key>,
    pub(super) evidence: Evidence,
}

/// What of a record's content is compared beside its keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Evidence {
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    /// Pieces in a unit, of a variant.
    pack: Option<Decimal>,
    currency: Option<String>,
    total: Option<Decimal>,
    ordered_at: Option<i64>,
}

/// What the names of two customers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Names {
    /// Two first names that no one person has.
    Differ,
    /// Nothing: one of the names is missing, or only the last names differ.
    Unknown,
    /// First name or initial, and last name, are the same.
    Agree,
}

/// How a change of a record bears on what it is the same as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affected {
    /// In no way: the common event.
    Nothing,
    /// The same links, but other pairs may look alike.
    Suggestions,
    /// It may belong elsewhere, or lend its entity another id.
    Links,
}

impl Member {
    /// Reads a record.
    pub fn new(
        kind: &Kind,
        scope: &Scope,
        external_id: &str,
        birth_id: Uuid,
        record: &Record,
        settings: &Settings,
    ) -> Self {
        let content = Content::of(record);
        let mut evidence = Evidence::default();
        match kind.name {
            "customer" => {
                (evidence.first_name, evidence.last_name) = content.names();
                evidence.company = content.text("company_name").map(plain);
            }
            "product_variant" => evidence.pack = content.text("pack_quantity").and_then(Decimal::parse),
            "sales_order" => {
                evidence.currency = content.member("amounts", "currency").map(str::to_owned);
                evidence.total = content.member("amounts", "total_amount").and_then(Decimal::parse);
                evidence.ordered_at = content.time("ordered_at");
            }
            _ => {}
        }
        Self {
            birth_id,
            connector_id: scope.connector_id,
            source_created_at: content.time("source_created_at"),
            is_live: !record.is_deleted(),
            keys: keys(kind, scope, external_id, record, settings),
            evidence,
        }
    }

    /// The keys that link it, unless they are on too many records.
    pub fn linking_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.key_type.is_linking())
    }

    /// What to look its partners up by: a partner holds one of these keys. An order's number is looked up as a
    /// reference and the other way round; whoever refers to this record holds its birth id as a reference.
    pub fn partner_keys(&self) -> impl Iterator<Item = Key> + '_ {
        let own = Key { key_type: KeyType::Reference, value: self.birth_id.to_string() };
        let shared = self.keys.iter().filter(|key| key.key_type != KeyType::Reference);
        let partner = |key: &Key| Key { key_type: key.key_type.counterpart(), value: key.value.clone() };
        std::iter::once(own).chain(shared.map(partner))
    }

    /// The records it refers to: partners that are found by their birth ids.
    pub fn references(&self) -> impl Iterator<Item = Uuid> + '_ {
        let references = self.keys.iter().filter(|key| key.key_type == KeyType::Reference);
        references.filter_map(|key| key.value.parse().ok())
    }

    /// The only value it has of a type.
    pub(super) fn key(&self, key_type: KeyType) -> Option<&str> {
        self.keys.iter().find(|key| key.key_type == key_type).map(|key| &*key.value)
    }

    /// The order of records in which the first lends an entity its id. It is the source's own time and no time of
    /// ours: that would depend on what arrives first.
    pub(super) fn seniority(&self) -> (bool, Option<i64>, Uuid) {
        (self.source_created_at.is_none(), self.source_created_at, self.birth_id)
    }
}

/// Whether a change needs resolution at all: most change no key, and must not pay for it.
pub fn affected(before: Option<&Member>, after: &Member) -> Affected {
    let Some(before) = before else { return Affected::Links };
    let is_same_link = before.is_live == after.is_live
        && before.source_created_at == after.source_created_at
        && before.linking_keys().eq(after.linking_keys())
        && (before.evidence == after.evidence || after.linking_keys().next().is_none());
    match (is_same_link, before == after) {
        (true, true) => Affected::Nothing,
        (true, false) => Affected::Suggestions,
        (false, _) => Affected::Links,
    }
}

/// What keeps two records apart that share a key, if anything: identifiers of theirs that one thing has once.
pub(super) fn difference(a: &Member, b: &Member) -> Option<&'static str> {
    const IDENTIFIERS: [KeyType; 3] = [KeyType::VatNumber, KeyType::RegistrationNumber, KeyType::Gtin];
    for key_type in IDENTIFIERS {
        // Numbers of different countries are no contradiction: a company may be registered in both.
        let country = |value: &str| value.get(..2).map(str::to_owned).filter(|_| key_type != KeyType::Gtin);
        if let (Some(one), Some(other)) = (a.key(key_type), b.key(key_type))
            && one != other
            && country(one) == country(other)
        {
            return Some(key_type.label());
        }
    }
    match (&a.evidence.pack, &b.evidence.pack) {
        (Some(one), Some(other)) if one.partial_cmp(other).is_some_and(|order| order.is_ne()) => {
            Some("pack quantity")
        }
        _ => None,
    }
}

/// Whether an order is the one that it refers to, as far as amounts and dates tell: both must be known, for a
/// number alone is only likely.
pub(super) fn is_same_sale(a: &Member, b: &Member) -> bool {
    let (a, b) = (&a.evidence, &b.evidence);
    let is_same_amount = a.total.as_ref().zip(b.total.as_ref()).is_some_and(|(one, other)| {
        let apart = one.add(&other.clone().negate());
        let limit = Decimal::parse(MOST_APART_AMOUNT);
        limit.is_some_and(|limit| apart <= limit && apart.negate() <= limit)
    });
    let is_same_time = a
        .ordered_at
        .zip(b.ordered_at)
        .is_some_and(|(one, other)| one.abs_diff(other) <= MOST_APART_TIME.unsigned_abs());
    a.currency.is_some() && a.currency == b.currency && is_same_amount && is_same_time
}

/// What the names of two customers say of their being one.
pub(super) fn names(a: &Member, b: &Member) -> Names {
    let first = both(&a.evidence.first_name, &b.evidence.first_name);
    let last = both(&a.evidence.last_name, &b.evidence.last_name);
    match (first.map(is_same_first_name), last.map(|(one, other)| jaro_winkler(one, other) >= SAME)) {
        (Some(false), _) => Names::Differ,
        (Some(true), Some(true)) => Names::Agree,
        _ => Names::Unknown,
    }
}

/// Two people of one family: the last name is the same, the first is not. They often share a mailbox.
pub(super) fn is_household(a: &Member, b: &Member) -> bool {
    let last = both(&a.evidence.last_name, &b.evidence.last_name);
    names(a, b) == Names::Differ && last.is_some_and(|(one, other)| jaro_winkler(one, other) >= FAMILY)
}

/// Whether both name a company, and the same one.
pub(super) fn is_same_company(a: &Member, b: &Member) -> bool {
    both(&a.evidence.company, &b.evidence.company)
        .is_some_and(|(one, other)| jaro_winkler(one, other) >= SAME)
}

fn is_same_first_name((a, b): (&str, &str)) -> bool {
    // An initial, or a name that is short for the other, contradicts nothing.
    a.starts_with(b) || b.starts_with(a) || jaro_winkler(a, b) >= ALIKE
}

fn both<'a>(a: &'a Option<String>, b: &'a Option<String>) -> Option<(&'a str, &'a str)> {
    a.as_deref().zip(b.as_deref())
}
