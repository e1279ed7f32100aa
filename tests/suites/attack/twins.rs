//! A question about what the victim has, and the same about what nobody has: the answers must not differ.

use super::attempt::{Answer, Attempt, lasting};
use super::party::Party;
use uuid::Uuid;

/// Who asks about whom.
#[derive(Clone, Copy)]
pub struct Twins<'a> {
    /// Who asks.
    pub attacker: &'a Party,
    /// About whom.
    pub victim: &'a Party,
}

impl Twins<'_> {
    /// A text of the attempt with the victim's values in it, or with those of nobody, as they have to be written there.
    pub fn render(
        &self,
        attempt: &Attempt,
        text: &str,
        as_nobody: bool,
        encode: fn(&str) -> String,
    ) -> String {
        attempt.render(text, |name| match name.strip_prefix("own.") {
            Some(own) => self.attacker.values.get(own).map(|value| encode(value)),
            None => self.victim.values.get(name).map(|value| encode(&self.value(value, as_nobody))),
        })
    }

    /// How the answers differ, in what lasts.
    pub fn difference(&self, of_victim: &Answer, of_nobody: &Answer) -> Option<String> {
        let (said, instead) = (self.anonymous(of_victim, false), self.anonymous(of_nobody, true));
        (said != instead).then(|| format!("of the victim's: {said}\n    of nobody's:     {instead}"))
    }

    fn value(&self, value: &str, as_nobody: bool) -> String {
        if as_nobody { self.victim.decoy(value, self.attacker) } else { value.to_owned() }
    }

    /// The answer without the values that were asked for, and without ids made for it.
    fn anonymous(&self, answer: &Answer, is_nobodys: bool) -> String {
        let mut said = answer.said.clone();
        // Short ones are words and numbers that stand there anyway; of ids none is left.
        let long = |value: &&String| value.len() >= 12 && Uuid::parse_str(value).is_err();
        // The longest first: one may be a part of another.
        let mut values: Vec<&String> = self.victim.values.values().filter(long).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            let value = self.value(value, is_nobodys);
            if said.contains(&value) {
                said = said.replace(&value, "(value)");
            }
        }
        lasting(&said)
    }
}
