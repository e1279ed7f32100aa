//! What an attempt is, and how its answer is judged.

use super::party::Party;
use std::collections::HashSet;
use std::fmt;

/// Something an attacker tries.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it is.
    pub name: String,
    /// SQL, or a request: method and path, lines of headers, and after an empty line the body. `{table.column}` stands
    /// for a value of the victim's, `{own.table.column}` for one of the attacker's.
    pub statement: String,
    /// What counts as a breach, beside that the victim's rows change and that anything of the victim's is shown.
    pub breach: Breach,
}

/// What counts as a breach. The answer is more than rows: errors with every field, notices and notifications too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// That it shows anything of the victim's. Whoever may see the victim must see it so: else it proves nothing.
    Shows,
    /// That it answers for what the victim has otherwise than for what nobody has.
    Tells,
    /// That it succeeds.
    Succeeds,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// All that came back and is the same each time.
    pub said: String,
    /// What else came back, such as headers.
    pub aside: String,
    /// How it failed: a SQLSTATE or an HTTP status.
    pub failure: Option<String>,
}

impl Attempt {
    /// An attempt.
    pub fn new(name: impl Into<String>, breach: Breach, statement: impl Into<String>) -> Self {
        Self { name: name.into(), statement: statement.into(), breach }
    }

    /// A text of the attempt with a value for each `{table.column}`.
    pub fn render(&self, text: &str, value: impl Fn(&str) -> Option<String>) -> String {
        let mut rendered = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_place(rest) {
            rendered.push_str(before);
            rendered.push_str(&value(name).unwrap_or_else(|| panic!("{}: nobody has {name}", self.name)));
            rest = after;
        }
        rendered.push_str(rest);
        rendered
    }

    /// Whether a value of the victim's is in the statement.
    pub fn names_the_victim(&self) -> bool {
        let mut rest = self.statement.as_str();
        while let Some((_, name, after)) = next_place(rest) {
            if !name.starts_with("own.") {
                return true;
            }
            rest = after;
        }
        false
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.statement)
    }
}

/// What stands before the next `{table.column}`, that name, and what follows. Other braces are text.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(start, _)| {
        let end = start + text[start..].find('}')?;
        let name = &text[start + 1..end];
        let is_name = name.contains('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.' | b'0'..=b'9'));
        is_name.then(|| (&text[..start], name, &text[end + 1..]))
    })
}

/// What an answer shows of the victim that was not in the question.
pub fn shown(question: &str, answer: &Answer, victim: &Party) -> Vec<String> {
    let asked = tokens(question);
    let mut shown: Vec<String> = [&answer.said, &answer.aside]
        .into_iter()
        .flat_map(|text| tokens(text))
        .filter(|token| victim.marks.contains(token) && !asked.contains(token))
        .collect();
    if !victim.canary.is_empty() && !question.to_lowercase().contains(&victim.canary) {
        let said = answer.said.to_lowercase();
        // As text, and as the bytes of an event's body are shown.
        let words = [victim.canary.clone(), hex::encode(&victim.canary)];
        shown.extend(words.into_iter().filter(|word| said.contains(word)));
    }
    shown
}

/// The ids and long numbers in a text, in one form: what a row can be known by.
pub fn tokens(text: &str) -> HashSet<String> {
    let lower = text.to_lowercase();
    // Ids are written with hyphens or without; a number may stand behind one.
    let (joined, apart) = (lower.replace('-', ""), lower.replace('-', " "));
    let is_mark = |token: &&str| {
        (token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()))
            || (token.len() >= LONG_NUMBER && token.bytes().all(|byte| byte.is_ascii_digit()))
    };
    [&joined, &apart]
        .into_iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_mark))
        .map(str::to_owned)
        .collect()
}

/// Digits by which a number is nobody else's; the ids of platforms have as many in the tests.
pub const LONG_NUMBER: usize = 12;

/// An answer without what differs each time: ids that were made for it.
pub fn lasting(text: &str) -> String {
    let is_of_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut lasting = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if is_of_id(c) {
            run.push(c);
            continue;
        }
        let is_id = run.bytes().filter(u8::is_ascii_hexdigit).count() == 32;
        lasting.push_str(if is_id { "(id)" } else { &run });
        run.clear();
        lasting.push(c);
    }
    lasting
}
