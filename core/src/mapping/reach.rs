//! Which values of a payload expressions read: what nobody reads is what a mapping leaves out.
//!
//! Not a record of one evaluation: all choices of a `first_of` are read here, so that what a mapping knows is not
//! called left out because something else came first.

use super::condition::{Comparison, Test};
use super::convert::Convert;
use super::{Condition, Each, Mapping, Piece, Scope, Source};
use serde_json::Value;
use std::collections::HashSet;

/// Values that are read, each with all that is in it.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Addresses, to be compared only: equal values at two places are two.
    values: HashSet<*const Value>,
    /// A question about a list or an object reads nothing that is in it.
    is_asking: bool,
}

impl Reached {
    /// Whether the value itself is read; what it is in may be too.
    pub fn contains(&self, value: &Value) -> bool {
        self.values.contains(&std::ptr::from_ref(value))
    }

    fn add(&mut self, value: &Value) {
        if !(self.is_asking && (value.is_array() || value.is_object())) {
            self.values.insert(std::ptr::from_ref(value));
        }
    }
}

impl Mapping {
    /// Adds what the expression reads, whether or not its condition holds.
    pub(crate) fn reach(&self, scope: Scope<'_>, reached: &mut Reached) {
        if let Some(when) = &self.when {
            when.reach(scope, reached);
        }
        for convert in &self.convert {
            if let Convert::MinorUnits(currency) = convert {
                currency.reach(scope, reached);
            }
        }
        let members = |members: &[(String, Mapping)], scope: Scope<'_>, reached: &mut Reached| {
            members.iter().for_each(|(_, member)| member.reach(scope, reached));
        };
        match &self.source {
            Source::Nowhere | Source::Header(_) | Source::Setting(_) | Source::Constant(_) => {}
            Source::Path(origin, path) => {
                path.first(origin.of(scope)).into_iter().for_each(|value| reached.add(value));
            }
            Source::AllOf(origin, path) => {
                path.all(origin.of(scope)).into_iter().for_each(|value| reached.add(value));
            }
            Source::Template(pieces) => {
                for piece in pieces {
                    if let Piece::Value(mapping) = piece {
                        mapping.reach(scope, reached);
                    }
                }
            }
            Source::FirstOf(mappings)
            | Source::Join(mappings, _)
            | Source::Sum(mappings)
            | Source::Product(mappings)
            | Source::Latest(mappings)
            | Source::Concat(mappings) => mappings.iter().for_each(|mapping| mapping.reach(scope, reached)),
            Source::SumOver(each, terms) => each.reach(scope, reached, |scope, reached| {
                terms.iter().for_each(|term| term.reach(scope, reached));
            }),
            Source::List(each, list) => {
                each.reach(scope, reached, |scope, reached| members(list, scope, reached));
            }
            Source::Pick(each, mapping) => {
                each.reach(scope, reached, |scope, reached| mapping.reach(scope, reached));
            }
            Source::Object(at, object) => {
                let item = match at {
                    None => Some(scope.item),
                    Some((origin, path)) => path.first(origin.of(scope)),
                };
                if let Some(item) = item {
                    members(object, scope.of_item(item), reached);
                }
            }
            Source::Children(list) => list.reach(scope, reached),
        }
    }
}

impl Each {
    /// Adds what choosing the items reads, and what is read of each that is chosen.
    fn reach(&self, scope: Scope<'_>, reached: &mut Reached, of_item: impl Fn(Scope<'_>, &mut Reached)) {
        let all = self.path.all(self.origin.of(scope));
        if let Some((theirs, own)) = &self.matching {
            let keys = all.iter().flat_map(|item| theirs.all(item)).chain(own.all(scope.item));
            keys.for_each(|key| reached.add(key));
        }
        if let Some(filter) = &self.filter {
            all.iter().for_each(|item| filter.reach(scope.of_item(item), reached));
        }
        for item in self.items(scope).ok().flatten().into_iter().flatten() {
            of_item(scope.of_item(item), reached);
        }
    }
}

impl Condition {
    /// Adds what the question is about.
    pub(crate) fn reach(&self, scope: Scope<'_>, reached: &mut Reached) {
        match &self.0 {
            Test::All(conditions) | Test::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.reach(scope, reached));
            }
            Test::Not(condition) => condition.reach(scope, reached),
            Test::Compare(operand, comparisons) => {
                let was_asking = std::mem::replace(&mut reached.is_asking, true);
                operand.reach(scope, reached);
                for comparison in comparisons {
                    match comparison {
                        Comparison::SameAs(other)
                        | Comparison::AtLeast(other)
                        | Comparison::MoreThan(other) => {
                            other.reach(scope, reached);
                        }
                        Comparison::Is(_)
                        | Comparison::OneOf(_)
                        | Comparison::StartsWith(_)
                        | Comparison::Matches(_) => {}
                    }
                }
                reached.is_asking = was_asking;
            }
        }
    }
}
