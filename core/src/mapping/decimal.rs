//! Decimal numbers as text: exact, whatever their size within [`MAX_DIGITS`].

use std::borrow::Cow;
use std::cmp::Ordering;

/// Digits of a decimal number, both sides of the point together. PostgreSQL's `numeric` holds far more;
/// nothing that is an amount or a quantity comes near.
pub const MAX_DIGITS: usize = 60;

/// A number's digits without exponent, otherwise as they were written: `1.50` stays `1.50`, `1.5e2`
/// becomes `150`. `None` if it is not a decimal number or has more than [`MAX_DIGITS`] digits.
pub fn plain(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let count = whole.len() + fraction.len();
    if !is_digits(whole) || !is_digits(fraction) || count == 0 || count > MAX_DIGITS {
        return None;
    }
    let is_negative = mantissa.starts_with('-');
    match exponent {
        None if mantissa.starts_with('+') || whole.is_empty() || unsigned.ends_with('.') => {
            let digits = format!("{whole}{fraction}");
            Some(Cow::Owned(write(is_negative, &digits, fraction.len())))
        }
        None => Some(Cow::Borrowed(mantissa)),
        Some(exponent) => {
            let exponent: i32 = exponent.parse().ok()?;
            let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
            let mut digits = format!("{whole}{fraction}");
            if scale.unsigned_abs() as usize > MAX_DIGITS {
                return None;
            }
            if scale < 0 {
                digits.push_str(&"0".repeat(scale.unsigned_abs() as usize));
            }
            let written = write(is_negative, &digits, scale.max(0) as usize);
            let is_short = written.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS;
            is_short.then_some(Cow::Owned(written))
        }
    }
}

/// A decimal number to calculate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Digits, the least significant first, without zeros at the significant end.
    digits: Vec<u8>,
    scale: usize,
}

impl Decimal {
    /// Reads what [`plain`] accepts.
    pub fn parse(text: &str) -> Option<Self> {
        let text = plain(text)?;
        let unsigned = text.trim_start_matches('-');
        let scale = unsigned.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let digits = unsigned.bytes().rev().filter(u8::is_ascii_digit).map(|byte| byte - b'0');
        Some(Self::normalized(text.starts_with('-'), digits.collect(), scale))
    }

    fn normalized(is_negative: bool, mut digits: Vec<u8>, scale: usize) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self { is_negative: is_negative && !digits.is_empty(), digits, scale }
    }

    /// The sum, with as many places after the point as the more exact of the two.
    pub fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let (a, b) = (self.scaled(scale), other.scaled(scale));
        let (is_negative, digits) = if self.is_negative == other.is_negative {
            (self.is_negative, add(&a, &b))
        } else if compare(&a, &b) == Ordering::Less {
            (other.is_negative, subtract(&b, &a))
        } else {
            (self.is_negative, subtract(&a, &b))
        };
        Self::normalized(is_negative, digits, scale)
    }

    /// The product, with the places after the point that a product has, less those that only one factor's
    /// trailing zeros make: 12.50 × 2 is 25.00.
    pub fn multiply(&self, other: &Self) -> Self {
        let mut digits = vec![0u8; self.digits.len() + other.digits.len() + 1];
        for (i, a) in self.digits.iter().enumerate() {
            let mut carry = 0u8;
            for (j, b) in other.digits.iter().enumerate() {
                let value = digits[i + j] + a * b + carry;
                digits[i + j] = value % 10;
                carry = value / 10;
            }
            digits[i + other.digits.len()] += carry;
        }
        let is_negative = self.is_negative != other.is_negative;
        Self::normalized(is_negative, digits, self.scale + other.scale)
    }

    /// The number with the other sign.
    pub fn negate(mut self) -> Self {
        self.is_negative = !self.is_negative && !self.digits.is_empty();
        self
    }

    /// The number divided by ten to this power.
    pub fn shift_right(mut self, places: usize) -> Self {
        self.scale += places;
        self
    }

    /// The digits at a greater scale.
    fn scaled(&self, scale: usize) -> Vec<u8> {
        let mut digits = vec![0; scale - self.scale];
        digits.extend(&self.digits);
        digits
    }

    /// The number as text, `None` if it has more than [`MAX_DIGITS`] digits.
    pub fn to_text(&self) -> Option<String> {
        let digits: String = self.digits.iter().rev().map(|digit| char::from(digit + b'0')).collect();
        let written = write(self.is_negative, &digits, self.scale);
        let is_short = written.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS;
        is_short.then_some(written)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let scale = self.scale.max(other.scale);
        let magnitude = compare(&self.scaled(scale), &other.scaled(scale));
        Some(match (self.is_negative, other.is_negative) {
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        })
    }
}

/// Digits with the point `scale` places from the right, and a digit on both sides of it.
fn write(is_negative: bool, digits: &str, scale: usize) -> String {
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if is_negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn digit(digits: &[u8], position: usize) -> u8 {
    digits.get(position).copied().unwrap_or(0)
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let positions = (0..a.len().max(b.len())).rev();
    positions.map(|i| digit(a, i).cmp(&digit(b, i))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = (0..=a.len().max(b.len())).map(|i| {
        let value = digit(a, i) + digit(b, i) + carry;
        carry = value / 10;
        value % 10
    });
    sum.collect()
}

/// `a` minus `b`, where `a` is not the smaller one.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let difference = (0..a.len()).map(|i| {
        let value = 10 + digit(a, i) - digit(b, i) - borrow;
        borrow = 1 - value / 10;
        value % 10
    });
    difference.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_the_digits_as_they_came() {
        for text in ["0", "1.50", "-3.00", "10.49999998929", "007.10", "9007199254740993"] {
            assert_eq!(plain(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn writes_out_exponents_and_fills_in_zeros() {
        for (text, expected) in [
            ("1e3", "1000"),
            ("1.25E-4", "0.000125"),
            ("-1.5e1", "-15"),
            ("1.50e1", "15.0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+7", "7"),
            (" 2 ", "2"),
            ("0e0", "0"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number_or_too_long() {
        let long = "9".repeat(MAX_DIGITS + 1);
        for text in
            ["", ".", "-", "1,5", "1.2.3", "NaN", "Infinity", "1e", "1e999999999999", "1e61", "0x1f", &long]
        {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn calculates_exactly(a in -10i64.pow(9)..10i64.pow(9), b in -10i64.pow(9)..10i64.pow(9),
                              s in 0usize..6, t in 0usize..6) {
            let number = |value: i64, scale: usize| {
                let digits = value.unsigned_abs().to_string();
                Decimal::parse(&write(value < 0, &digits, scale)).unwrap()
            };
            let scale = s.max(t);
            let power = |exponent: usize| 10i128.pow(exponent as u32);
            let sum = a as i128 * power(scale - s) + b as i128 * power(scale - t);
            let expected = write(sum < 0, &sum.unsigned_abs().to_string(), scale);
            prop_assert_eq!(number(a, s).add(&number(b, t)).to_text().unwrap(), expected);

            let product = a as i128 * b as i128;
            let expected = write(product < 0, &product.unsigned_abs().to_string(), s + t);
            prop_assert_eq!(number(a, s).multiply(&number(b, t)).to_text().unwrap(), expected);

            let order = (a as i128 * power(scale - s)).cmp(&(b as i128 * power(scale - t)));
            prop_assert_eq!(number(a, s).partial_cmp(&number(b, t)), Some(order));
        }

        #[test]
        fn reads_any_text(text in "\\PC{0,80}") {
            if let Some(plain) = plain(&text) {
                prop_assert!(Decimal::parse(&plain).is_some());
            }
        }
    }
}
