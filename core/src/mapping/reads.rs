//! Which members of payloads expressions can read at all, so that others need not be kept when a payload is read.
//!
//! By name, wherever in the payload: what one expression reads of an order's lines is kept of its addresses as well.
//! Unlike [`super::Reached`] this is known before any payload comes.

use super::condition::{Comparison, Test};
use super::convert::Convert;
use super::path::Step;
use super::{Condition, Each, Mapping, Path, Piece, Source};
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The members that are read, by name, each with how much of it: [`Reads::NAMED`], of so many levels of lists or objects
/// in it all entries, or [`Reads::WHOLE`].
#[derive(Debug, Default)]
pub(crate) struct Reads {
    names: HashMap<Box<str>, u8, BuildHasherDefault<Fnv>>,
    /// What cannot be told by names.
    is_anything: bool,
}

impl Reads {
    /// Only what is named in it.
    pub const NAMED: u8 = 0;

    /// All that is in it.
    pub const WHOLE: u8 = u8::MAX;

    /// How much of a member is read; `None` where nobody names it.
    pub fn of(&self, name: &str) -> Option<u8> {
        self.names.get(name).copied()
    }

    /// How much is read of what is in a value of which so much is read.
    pub const fn within(keep: u8) -> u8 {
        match keep {
            Self::WHOLE => Self::WHOLE,
            levels => levels.saturating_sub(1),
        }
    }

    /// Itself, unless anything may be read.
    pub fn known(self) -> Option<Self> {
        (!self.is_anything).then_some(self)
    }

    /// Adds a member of which so much is read.
    pub fn add(&mut self, name: &str, keep: u8) {
        let known = self.names.entry(name.into()).or_default();
        *known = keep.max(*known);
    }

    /// Adds what a path goes through, and all of what it leads to if that is read whole.
    pub fn add_path(&mut self, path: &Path, is_whole: bool) {
        let Some(steps) = path.steps() else {
            self.is_anything = true;
            return;
        };
        let is_name = |step: &Step| matches!(step, Step::Name(_));
        let first = steps.iter().position(is_name);
        let before = &steps[..first.unwrap_or(steps.len())];
        // A whole record, or the entries of an object without a name.
        let is_nameless = before.iter().any(|step| !matches!(step, Step::Index(_)));
        self.is_anything |= is_nameless || (is_whole && first.is_none());
        for (place, step) in steps.iter().enumerate() {
            match step {
                Step::Name(name) => {
                    let rest = &steps[place + 1..];
                    let levels = rest.iter().position(is_name);
                    let keep = match levels {
                        None if is_whole => Self::WHOLE,
                        _ => levels.unwrap_or(rest.len()).min(usize::from(Self::WHOLE - 1)) as u8,
                    };
                    self.add(name, keep);
                }
                Step::Where(filter) => filter.names().for_each(|name| self.add(name, Self::NAMED)),
                Step::Index(_) | Step::FromEnd(_) | Step::All => {}
            }
        }
    }

    /// Notes what a value is compared with: an object or a list is compared by all that is in it.
    pub fn compare<'v>(&mut self, values: impl IntoIterator<Item = &'v Value>) {
        self.is_anything |= values.into_iter().any(has_parts);
    }

    #[cfg(test)]
    pub fn for_names<'n>(names: impl IntoIterator<Item = (&'n str, u8)>) -> Self {
        let mut reads = Self::default();
        names.into_iter().for_each(|(name, keep)| reads.add(name, keep));
        reads
    }
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    }
}

impl Mapping {
    /// Adds what the expression may read. Of a value that is asked about, and not taken over, the parts are not read.
    pub(crate) fn reads(&self, reads: &mut Reads, is_taken: bool) {
        if let Some(when) = &self.when {
            when.reads(reads);
        }
        let mut is_whole = is_taken || self.null_if.iter().any(has_parts);
        for convert in &self.convert {
            match convert {
                Convert::Nothing | Convert::List | Convert::Json => {}
                Convert::MinorUnits(currency) => {
                    currency.reads(reads, false);
                    is_whole = false;
                }
                // Of a list or an object they only say that it is none of theirs.
                _ => is_whole = false,
            }
        }
        is_whole |= self.null_if.iter().any(has_parts);
        match &self.source {
            Source::Nowhere | Source::Header(_) | Source::Setting(_) | Source::Constant(_) => {}
            Source::Path(_, path) | Source::AllOf(_, path) => reads.add_path(path, is_whole),
            Source::Template(pieces) => {
                for piece in pieces {
                    if let Piece::Value(mapping) = piece {
                        mapping.reads(reads, false);
                    }
                }
            }
            Source::FirstOf(mappings) | Source::Concat(mappings) => {
                mappings.iter().for_each(|mapping| mapping.reads(reads, is_whole));
            }
            Source::Join(mappings, _)
            | Source::Sum(mappings)
            | Source::Product(mappings)
            | Source::Latest(mappings) => mappings.iter().for_each(|mapping| mapping.reads(reads, false)),
            Source::SumOver(each, terms) => {
                each.reads(reads);
                terms.iter().for_each(|term| term.reads(reads, false));
            }
            Source::List(each, members) => {
                each.reads(reads);
                members.iter().for_each(|(_, member)| member.reads(reads, true));
            }
            Source::Pick(each, mapping) => {
                each.reads(reads);
                mapping.reads(reads, is_whole);
            }
            Source::Object(at, members) => {
                if let Some((_, path)) = at {
                    reads.add_path(path, false);
                }
                members.iter().for_each(|(_, member)| member.reads(reads, true));
            }
            Source::Children(list) => list.reads(reads, true),
        }
    }
}

impl Each {
    fn reads(&self, reads: &mut Reads) {
        reads.add_path(&self.path, false);
        if let Some((theirs, own)) = &self.matching {
            reads.add_path(theirs, false);
            reads.add_path(own, false);
        }
        if let Some(filter) = &self.filter {
            filter.reads(reads);
        }
    }
}

impl Condition {
    /// Adds what the question may read.
    pub(crate) fn reads(&self, reads: &mut Reads) {
        match &self.0 {
            Test::All(conditions) | Test::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.reads(reads));
            }
            Test::Not(condition) => condition.reads(reads),
            Test::Compare(operand, comparisons) => {
                let mut is_compared = false;
                for comparison in comparisons {
                    match comparison {
                        Comparison::SameAs(other) => {
                            is_compared = true;
                            other.reads(reads, true);
                        }
                        Comparison::AtLeast(other) | Comparison::MoreThan(other) => other.reads(reads, false),
                        Comparison::OneOf(values) => is_compared |= values.iter().any(has_parts),
                        Comparison::Is(_) | Comparison::StartsWith(_) | Comparison::Matches(_) => {}
                    }
                }
                operand.reads(reads, is_compared);
            }
        }
    }
}

/// FNV-1a: names are short, and the table is the manifest's own.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
