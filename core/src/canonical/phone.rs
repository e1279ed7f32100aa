//! Telephone numbers in the form of ITU-T E.164: `+`, country code, number.
//!
//! A number never links two records by itself, it only suggests that a person looks. So a table of calling
//! codes and trunk prefixes is enough; whether a number is in service, or which carrier's, is of no account.

/// Country (ISO 3166-1), calling code (ITU-T E.164) and the trunk prefix that stands before a number dialled
/// inside the country and is left out in the international form (ITU-T E.123). Italy keeps its zero.
const COUNTRIES: &[(&str, &str, &str)] = &[
    ("AE", "971", "0"),
    ("AT", "43", "0"),
    ("AU", "61", "0"),
    ("BE", "32", "0"),
    ("BG", "359", "0"),
    ("BR", "55", "0"),
    ("CA", "1", "1"),
    ("CH", "41", "0"),
    ("CN", "86", "0"),
    ("CY", "357", ""),
    ("CZ", "420", ""),
    ("DE", "49", "0"),
    ("DK", "45", ""),
    ("EE", "372", ""),
    ("ES", "34", ""),
    ("FI", "358", "0"),
    ("FR", "33", "0"),
    ("GB", "44", "0"),
    ("GR", "30", ""),
    ("HR", "385", "0"),
    ("HU", "36", "06"),
    ("IE", "353", "0"),
    ("IL", "972", "0"),
    ("IN", "91", "0"),
    ("IS", "354", ""),
    ("IT", "39", ""),
    ("JP", "81", "0"),
    ("KR", "82", "0"),
    ("LT", "370", "0"),
    ("LU", "352", ""),
    ("LV", "371", ""),
    ("MT", "356", ""),
    ("MX", "52", ""),
    ("NL", "31", "0"),
    ("NO", "47", ""),
    ("NZ", "64", "0"),
    ("PL", "48", ""),
    ("PT", "351", ""),
    ("RO", "40", "0"),
    ("SE", "46", "0"),
    ("SG", "65", ""),
    ("SI", "386", "0"),
    ("SK", "421", "0"),
    ("TR", "90", "0"),
    ("UA", "380", "0"),
    ("US", "1", "1"),
    ("ZA", "27", "0"),
];

/// Digits of a number with its country code: fifteen at most, as E.164 has it; below eight it is no subscriber's.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// The number in E.164, if it is written internationally or its country is known. `None` for what is no number,
/// or one that only fills a form, such as 0000000000.
pub fn phone_e164(phone: &str, country_code: Option<&str>) -> Option<String> {
    let phone = phone.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '+');
    // What follows is an extension: `x12`, `ext. 12`, `#12`.
    let phone = phone.split(['x', 'X', 'e', 'E', '#', ';', '/']).next().unwrap_or_default();
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let number = if let Some(rest) = phone.strip_prefix('+') {
        digits(&rest.replacen("(0)", "", 1))
    } else if let Some(rest) = phone.strip_prefix("00") {
        digits(&rest.replacen("(0)", "", 1))
    } else {
        let country = country_code.map(|code| code.trim().to_ascii_uppercase())?;
        let (_, code, trunk) = COUNTRIES.iter().find(|(known, ..)| *known == country)?;
        national(&digits(phone), code, trunk)
    };
    let is_number = DIGITS.contains(&number.len()) && !number.starts_with('0');
    // The number itself ends the digits: seven times the same is nobody's.
    let is_filler = number
        .as_bytes()
        .get(number.len().saturating_sub(7)..)
        .is_some_and(|tail| tail.iter().all(|digit| Some(digit) == tail.first()));
    (is_number && !is_filler).then(|| format!("+{number}"))
}

/// A number as dialled inside a country, with the country's code before it.
fn national(digits: &str, code: &str, trunk: &str) -> String {
    match digits.strip_prefix(trunk) {
        Some(number) if !trunk.is_empty() => format!("{code}{number}"),
        // Without the trunk prefix but with the country's code: only the plus sign was left out.
        _ if digits.starts_with(code) && digits.len() > 10 => digits.to_owned(),
        _ => format!("{code}{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_number_is_one() {
        for written in [
            "06 1234 5678",
            "0612345678",
            "+31 (0)6-12345678",
            "0031612345678",
            "31612345678",
            "+31.6.12345678 x9",
        ] {
            assert_eq!(phone_e164(written, Some("nl")).as_deref(), Some("+31612345678"), "{written}");
        }
        assert_eq!(phone_e164("(555) 010-1234", Some("US")).as_deref(), Some("+15550101234"));
        assert_eq!(phone_e164("1-555-010-1234", Some("US")).as_deref(), Some("+15550101234"));
        assert_eq!(phone_e164("06 1234 5678", Some("IT")).as_deref(), Some("+390612345678"));
    }

    #[test]
    fn what_tells_nothing_is_no_number() {
        for (written, country) in [
            ("0612345678", None),
            ("0612345678", Some("XX")),
            ("", Some("NL")),
            ("n/a", Some("NL")),
            ("0000000000", Some("NL")),
            ("+31", None),
            ("+1234567890123456", None),
        ] {
            assert_eq!(phone_e164(written, country), None, "{written}");
        }
    }
}
