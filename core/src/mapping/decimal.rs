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

/// Numbers below this are calculated with in one step.
const SMALL: u64 = 10u64.pow(18);

/// A decimal number to calculate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    magnitude: Magnitude,
    scale: usize,
}

/// All digits of a number. One that can be small is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Magnitude {
    /// Below [`SMALL`].
    Small(u64),
    /// Digits, the least significant first, without zeros at the significant end.
    Large(Vec<u8>),
}

impl Decimal {
    /// Reads what [`plain`] accepts.
    pub fn parse(text: &str) -> Option<Self> {
        let text = plain(text)?;
        let unsigned = text.trim_start_matches('-');
        let scale = unsigned.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let is_negative = text.starts_with('-');
        let digits = || unsigned.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0');
        if unsigned.len() <= 18 {
            let value = digits().fold(0, |value, digit| value * 10 + u64::from(digit));
            return Some(Self::small(is_negative, value, scale));
        }
        Some(Self::normalized(is_negative, digits().rev().collect(), scale))
    }

    fn small(is_negative: bool, value: u64, scale: usize) -> Self {
        Self { is_negative: is_negative && value > 0, magnitude: Magnitude::Small(value), scale }
    }

    /// `None` for what is not small.
    fn of_value(value: i128, scale: usize) -> Option<Self> {
        let magnitude = u64::try_from(value.unsigned_abs()).ok().filter(|magnitude| *magnitude < SMALL)?;
        Some(Self::small(value < 0, magnitude, scale))
    }

    fn normalized(is_negative: bool, mut digits: Vec<u8>, scale: usize) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.len() <= 18 {
            let value = digits.iter().rev().fold(0, |value, digit| value * 10 + u64::from(*digit));
            return Self::small(is_negative, value, scale);
        }
        Self { is_negative, magnitude: Magnitude::Large(digits), scale }
    }

    /// The number times ten to the power of `scale`, if it is small, and so much larger at most.
    fn value_at(&self, scale: usize) -> Option<i128> {
        let Magnitude::Small(value) = self.magnitude else { return None };
        let more = u32::try_from(scale - self.scale).ok().filter(|more| *more <= 18)?;
        let value = i128::from(value) * 10i128.pow(more);
        Some(if self.is_negative { -value } else { value })
    }

    fn values_at(&self, other: &Self, scale: usize) -> Option<(i128, i128)> {
        self.value_at(scale).zip(other.value_at(scale))
    }

    /// The sum, with as many places after the point as the more exact of the two.
    pub fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        let small = self.values_at(other, scale).and_then(|(a, b)| Self::of_value(a + b, scale));
        if let Some(sum) = small {
            return sum;
        }
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
        let scale = self.scale + other.scale;
        if let (Some(a), Some(b)) = (self.value_at(self.scale), other.value_at(other.scale))
            && let Some(product) = Self::of_value(a * b, scale)
        {
            return product;
        }
        let (a, b) = (self.scaled(self.scale), other.scaled(other.scale));
        let mut digits = vec![0u8; a.len() + b.len() + 1];
        for (i, a) in a.iter().enumerate() {
            let mut carry = 0u8;
            for (j, b) in b.iter().enumerate() {
                let value = digits[i + j] + a * b + carry;
                digits[i + j] = value % 10;
                carry = value / 10;
            }
            digits[i + b.len()] += carry;
        }
        let is_negative = self.is_negative != other.is_negative;
        Self::normalized(is_negative, digits, scale)
    }

    /// The number with the other sign.
    pub fn negate(mut self) -> Self {
        self.is_negative = !self.is_negative && self.magnitude != Magnitude::Small(0);
        self
    }

    /// The number divided by ten to this power.
    pub fn shift_right(mut self, places: usize) -> Self {
        self.scale += places;
        self
    }

    /// The digits at a greater scale, the least significant first.
    fn scaled(&self, scale: usize) -> Vec<u8> {
        let mut digits = vec![0; scale - self.scale];
        match &self.magnitude {
            Magnitude::Small(value) => {
                let mut rest = *value;
                while rest > 0 {
                    digits.push((rest % 10) as u8);
                    rest /= 10;
                }
            }
            Magnitude::Large(large) => digits.extend(large),
        }
        digits
    }

    /// The number as text, `None` if it has more than [`MAX_DIGITS`] digits.
    pub fn to_text(&self) -> Option<String> {
        let written = match &self.magnitude {
            Magnitude::Small(value) => {
                let mut buffer = [0; 20];
                let mut start = buffer.len();
                let mut rest = *value;
                while rest > 0 {
                    start -= 1;
                    buffer[start] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                write(self.is_negative, std::str::from_utf8(&buffer[start..]).unwrap_or_default(), self.scale)
            }
            Magnitude::Large(digits) => {
                let digits: String = digits.iter().rev().map(|digit| char::from(digit + b'0')).collect();
                write(self.is_negative, &digits, self.scale)
            }
        };
        let is_short =
            written.len() <= MAX_DIGITS || written.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS;
        is_short.then_some(written)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let scale = self.scale.max(other.scale);
        if let Some((a, b)) = self.values_at(other, scale) {
            return Some(a.cmp(&b));
        }
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
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    let whole = whole.trim_start_matches('0');
    let mut written = String::with_capacity(whole.len().max(1) + scale + 2);
    if is_negative {
        written.push('-');
    }
    written.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        written.push('.');
        written.extend(std::iter::repeat_n('0', scale - fraction.len()));
        written.push_str(fraction);
    }
    written
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
        fn small_numbers_and_large_ones_are_one(a in "-?[0-9]{1,24}([.][0-9]{1,20})?", b in "-?[0-9]{1,24}([.][0-9]{1,20})?") {
            let (one, other) = (Decimal::parse(&a).unwrap(), Decimal::parse(&b).unwrap());
            prop_assert_eq!(one.add(&other).add(&other.clone().negate()).partial_cmp(&one), Some(Ordering::Equal));
            prop_assert_eq!(one.multiply(&other), other.multiply(&one));
            let places = Decimal::parse("1000000000000000000000").unwrap();
            let large = one.multiply(&places);
            prop_assert_eq!(large.clone().shift_right(21).partial_cmp(&one), Some(Ordering::Equal));
            prop_assert_eq!(large.partial_cmp(&other.multiply(&places)), one.partial_cmp(&other));
        }

        #[test]
        fn reads_any_text(text in "\\PC{0,80}") {
            if let Some(plain) = plain(&text) {
                prop_assert!(Decimal::parse(&plain).is_some());
            }
        }
    }
}
