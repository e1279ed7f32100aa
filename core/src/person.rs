//! Finding a person in what came in: the right to be forgotten covers requests that made no record, too.

use crate::canonical::{EmailKind, email_key, email_kind};
use crate::signature::percent_decode;
use serde_json::Value;

/// Numbers that agree in so many digits at their end are one telephone number, with and without country code.
const TELLING_DIGITS: usize = 9;

/// The addresses among these that are somebody's own, as [`email_key`] writes them. Who asks for info@ or a
/// marketplace's forwarding address to be forgotten must not take others along.
pub fn personal_addresses(emails: &[String]) -> Vec<String> {
    let keys = emails.iter().filter_map(|email| email_key(email));
    keys.filter(|key| email_kind(key) == EmailKind::Personal).collect()
}

/// Whether a request, as it is stored, names one of the addresses ([`personal_addresses`]) or telephone numbers.
pub fn is_mentioned(headers: &Value, body: &[u8], addresses: &[String], phones: &[String]) -> bool {
    let phones: Vec<String> =
        phones.iter().map(|phone| digits(phone)).filter(|digits| digits.len() >= TELLING_DIGITS).collect();
    let is_in =
        |text: &str| names_address(text, addresses) || (!phones.is_empty() && names_phone(text, &phones));
    let is_in_either = |text: &str| {
        is_in(text) || text.contains('%') && is_in(&String::from_utf8_lossy(&percent_decode(text)))
    };
    // Escapes of JSON are undone by reading it; forms and query strings write @ as %40.
    any_text(headers, &is_in_either)
        || match serde_json::from_slice(body) {
            Ok(json) => any_text(&json, &is_in_either),
            Err(_) => is_in_either(&String::from_utf8_lossy(body)),
        }
}

fn any_text(json: &Value, is_in: &impl Fn(&str) -> bool) -> bool {
    match json {
        Value::String(text) => is_in(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, is_in)),
        Value::Object(members) => members.iter().any(|(name, value)| is_in(name) || any_text(value, is_in)),
        _ => false,
    }
}

/// Whole addresses only: jan@example.com is not in bojan@example.com, nor in jan@example.com.au.
fn names_address(text: &str, addresses: &[String]) -> bool {
    if !text.contains('@') {
        return false;
    }
    let text = text.to_lowercase();
    addresses.iter().any(|address| {
        text.match_indices(address.as_str()).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let mut after = text[at + address.len()..].chars();
            let continues = match after.next() {
                Some('.') => after.next().is_some_and(char::is_alphanumeric),
                next => next.is_some_and(|next| next.is_alphanumeric() || next == '-'),
            };
            let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
            !continues && !before.is_some_and(is_local)
        })
    })
}

fn names_phone(text: &str, phones: &[String]) -> bool {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '+' | '-' | '.' | '/' | '(' | ')');
    text.split(|c| !is_of_number(c))
        .map(digits)
        .filter(|digits| digits.len() >= TELLING_DIGITS)
        .any(|digits| phones.iter().any(|phone| phone.ends_with(&digits) || digits.ends_with(phone.as_str())))
}

/// Without the prefixes 0 and 00.
fn digits(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_in(body: &str) -> bool {
        let (addresses, phones) = (["jan@example.com".to_owned()], ["06-12 34 56 78".to_owned()]);
        is_mentioned(&json!({}), body.as_bytes(), &addresses, &phones)
    }

    #[test]
    fn a_person_is_found_however_it_is_written() {
        for body in [
            r#"{"a":[{"email":"Jan@Example.com"}]}"#,
            r#"{"note":"ask\njan\u0040example.com."}"#,
            r#"{"jan@example.com":1}"#,
            "email=jan%40example.com&n=1",
            "<to>jan@example.com</to>",
            r#"{"phone":"+31 6 12345678"}"#,
            "phone=0612345678&n=1",
        ] {
            assert!(is_in(body), "{body}");
        }
        let headers = json!({ ":query": "who=jan%40example.com" });
        assert!(is_mentioned(&headers, b"", &["jan@example.com".to_owned()], &[]));
    }

    #[test]
    fn others_are_not_taken_for_the_person() {
        for body in [
            r#"{"email":"bojan@example.com"}"#,
            r#"{"email":"jan@example.com.au"}"#,
            r#"{"email":"jan@example.comet"}"#,
            r#"{"email":"de.jan@example.com"}"#,
            r#"{"phone":"0612345679","id":"345678"}"#,
            "",
        ] {
            assert!(!is_in(body), "{body}");
        }
    }

    #[test]
    fn addresses_of_many_identify_nobody() {
        let emails =
            ["Jan@Example.com", "info@example.com", "x@privaterelay.appleid.com", "noemail@x.nl", "no"];
        assert_eq!(personal_addresses(&emails.map(str::to_owned)), ["jan@example.com"]);
    }
}
