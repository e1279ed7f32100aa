//! What an author cannot have meant.

use super::super::expression::{Conversion, Expression, Rule};
use super::Compiler;
use crate::error::Error;
use std::collections::BTreeMap;

impl Compiler<'_> {
    /// One source, and one only.
    pub(super) fn check_sources(&self, rule: &Rule, at: &str) -> Result<(), Error> {
        let named = [
            ("path", rule.path.is_some()),
            ("record", rule.record.is_some()),
            ("payload", rule.payload.is_some()),
            ("header", rule.header.is_some()),
            ("setting", rule.setting.is_some()),
            ("constant", rule.constant.is_some()),
            ("template", rule.template.is_some()),
            ("first_of", rule.first_of.is_some()),
            ("join", rule.join.is_some()),
            ("sum", rule.sum.is_some()),
            ("product", rule.product.is_some()),
            ("latest", rule.latest.is_some()),
            ("concat", rule.concat.is_some()),
            ("each", rule.each.is_some() && rule.sum.is_none()),
        ];
        let sources: Vec<_> = named.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
        let has_members = rule.shape.is_some() || !rule.fields.is_empty();
        match sources.as_slice() {
            [_] => Ok(()),
            [] if has_members => Ok(()),
            [] => Err(self.error(at, "has no source: path, first_of, constant, each, …")),
            several => Err(self.error(at, format!("has several sources: {}", several.join(", ")))),
        }
    }

    /// Nothing is written that would have no effect.
    pub(super) fn check_options(&self, rule: &Rule, at: &str) -> Result<(), Error> {
        let is_path = rule.path.is_some() || rule.record.is_some() || rule.payload.is_some();
        let has_members = rule.shape.is_some() || !rule.fields.is_empty();
        let needs = [
            (!rule.with.is_empty() && rule.template.is_none(), "with needs template"),
            (rule.separator.is_some() && rule.join.is_none(), "separator needs join"),
            (rule.matching.is_some() && rule.each.is_none(), "matching needs each"),
            (rule.filter.is_some() && rule.each.is_none(), "where needs each"),
            (
                has_members && !is_path && rule.each.is_none() && has_source(rule),
                "fields and use need each or a path",
            ),
            (
                has_members && (rule.sum.is_some() || rule.pick.is_some()),
                "each gives fields, sum or pick: one of them",
            ),
            (rule.default.is_some() && rule.map.is_none(), "default needs map; for null there is if_null"),
            (
                rule.currency.is_some() && rule.conversion != Some(Conversion::MinorUnits),
                "currency needs as = \"minor_units\"",
            ),
        ];
        match needs.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, reason)) => Err(self.error(at, *reason)),
            None => Ok(()),
        }
    }

    /// All words that an expression can give for a vocabulary are in it.
    pub(super) fn check_words(&self, rule: &Rule, words: &[&str], at: &str) -> Result<(), Error> {
        let written = rule.constant.iter().chain(&rule.default).chain(&rule.if_null);
        for word in written.chain(rule.map.iter().flat_map(BTreeMap::values)) {
            if !word.is_null() && !word.as_str().is_some_and(|word| words.contains(&word)) {
                return Err(self
                    .error(at, format!("{word} is not a word of this vocabulary"))
                    .hint(format!("one of {}", words.join(", "))));
            }
        }
        for (index, choice) in rule.first_of.iter().flatten().enumerate() {
            if let Expression::Rule(rule) = choice {
                self.check_words(rule, words, &format!("{at}.first_of[{index}]"))?;
            }
        }
        Ok(())
    }
}

fn has_source(rule: &Rule) -> bool {
    rule.header.is_some()
        || rule.setting.is_some()
        || rule.constant.is_some()
        || rule.template.is_some()
        || rule.first_of.is_some()
        || rule.join.is_some()
        || rule.sum.is_some()
        || rule.product.is_some()
        || rule.latest.is_some()
        || rule.concat.is_some()
}
