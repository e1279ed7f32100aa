//! PostgreSQL's numeric: a sign, how many decimals are shown, the weight of the first digit, and digits to the base
//! of 10,000 without zeros at either end.

use crate::Error;

const DIGITS: i64 = 4;
const NEGATIVE: u16 = 0x4000;
const SHORT: u16 = 0x8000;
const SHORT_NEGATIVE: u16 = 0x2000;
const SPECIAL: u16 = 0xC000;
const SCALE: u16 = 0x3FFF;
const SHORT_SCALE: i64 = 0x3F;
/// PostgreSQL refuses exponents beyond, whatever they are of.
const MOST_EXPONENT: i64 = i32::MAX as i64 / 2;

/// Appends a JSON number, as PostgreSQL's `numeric_in` reads it.
pub fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let no_number = || Error::Custom(format!("\"{text}\" is no number"));
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(place) => (&unsigned[..place], read_exponent(&unsigned[place + 1..]).ok_or_else(no_number)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(no_number());
    }
    if exponent.abs() >= MOST_EXPONENT {
        return Err(Error::NumberOutOfRange);
    }
    let scale = (fraction.len() as i64 - exponent).max(0);
    // The power of ten of a digit by its place.
    let power = |place: usize| whole.len() as i64 - 1 + exponent - place as i64;
    let trimmed = |text: &str| text.trim_end_matches('0').len();
    let last = match (trimmed(whole), trimmed(fraction)) {
        (0, 0) => {
            let start = begin(out, false, scale, 0)?;
            finish(out, start);
            return Ok(());
        }
        (end, 0) => end - 1,
        (_, end) => whole.len() + end - 1,
    };
    let first = digits().take_while(|digit| *digit == b'0').count();
    let start = begin(out, is_negative, scale, power(first).div_euclid(DIGITS))?;
    let mut group = 0;
    for (place, digit) in digits().enumerate().take(last + 1).skip(first) {
        group = group * 10 + u16::from(digit - b'0');
        if power(place).rem_euclid(DIGITS) == 0 {
            out.extend_from_slice(&group.to_ne_bytes());
            group = 0;
        }
    }
    let missing = power(last).rem_euclid(DIGITS);
    if missing > 0 {
        out.extend_from_slice(&(group * 10_u16.pow(missing as u32)).to_ne_bytes());
    }
    finish(out, start);
    Ok(())
}

/// Appends an integer.
pub fn write_integer(is_negative: bool, magnitude: u128, out: &mut Vec<u8>) -> Result<(), Error> {
    // Base 10,000, the lowest first; 2^128 has ten of them.
    let (mut digits, mut count, mut rest) = ([0_u16; 10], 0, magnitude);
    while rest > 0 {
        // The common one is divided in a register.
        (digits[count], rest) = match u64::try_from(rest) {
            Ok(rest) => ((rest % 10_000) as u16, u128::from(rest / 10_000)),
            Err(_) => ((rest % 10_000) as u16, rest / 10_000),
        };
        count += 1;
    }
    let start = begin(out, is_negative && magnitude > 0, 0, (count as i64 - 1).max(0))?;
    let zeros = digits[..count].iter().take_while(|digit| **digit == 0).count();
    for digit in digits[zeros..count].iter().rev() {
        out.extend_from_slice(&digit.to_ne_bytes());
    }
    finish(out, start);
    Ok(())
}

/// An exponent as JSON has it; one beyond any number's is as good as another.
fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(MOST_EXPONENT);
    Some(if text.starts_with('-') { -size } else { size })
}

/// Room for the length, and what stands before the digits.
fn begin(out: &mut Vec<u8>, is_negative: bool, scale: i64, weight: i64) -> Result<usize, Error> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if scale <= SHORT_SCALE && (-64..64).contains(&weight) {
        let sign = if is_negative { SHORT_NEGATIVE } else { 0 };
        // Seven bits of two's complement.
        let header = SHORT | sign | (scale as u16) << 7 | (weight as u16 & 0x7F);
        out.extend_from_slice(&header.to_ne_bytes());
        return Ok(start);
    }
    let weight = i16::try_from(weight).map_err(|_| Error::NumberOutOfRange)?;
    let scale = u16::try_from(scale).ok().filter(|scale| *scale <= SCALE).ok_or(Error::NumberOutOfRange)?;
    let sign = if is_negative { NEGATIVE } else { 0 };
    out.extend_from_slice(&(sign | scale).to_ne_bytes());
    out.extend_from_slice(&weight.to_ne_bytes());
    Ok(start)
}

fn finish(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    let header = if cfg!(target_endian = "big") { length } else { length << 2 };
    out[start..start + 4].copy_from_slice(&header.to_ne_bytes());
}

/// A number in a document.
#[derive(Clone, Copy)]
pub struct Number<'a> {
    is_negative: bool,
    scale: usize,
    weight: i64,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    /// Reads one with its length, as it stands in a document.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let malformed = Error::Malformed("a number");
        let Some((header, rest)) = bytes.split_first_chunk().filter(|_| bytes.len() >= 6) else {
            return Err(malformed);
        };
        let header = u32::from_ne_bytes(*header);
        let (length, mark) = if cfg!(target_endian = "big") {
            (header & 0x3FFF_FFFF, header >> 30)
        } else {
            (header >> 2, header & 3)
        };
        if mark != 0 || length as usize != bytes.len() {
            return Err(malformed);
        }
        let word = |place: usize| rest.get(place..place + 2).map(|at| u16::from_ne_bytes([at[0], at[1]]));
        let (Some(first), second) = (word(0), word(2)) else { return Err(malformed) };
        let number = if first & SPECIAL == SPECIAL {
            // Infinity or no number at all: JSON has neither.
            return Err(malformed);
        } else if first & SHORT != 0 {
            Self {
                is_negative: first & SHORT_NEGATIVE != 0,
                scale: usize::from(first >> 7) & SHORT_SCALE as usize,
                // Its sign is the seventh bit.
                weight: i64::from(((first << 1) as i8) >> 1),
                digits: &rest[2..],
            }
        } else {
            let Some(weight) = second else { return Err(malformed) };
            Self {
                is_negative: first & NEGATIVE != 0,
                scale: usize::from(first & SCALE),
                weight: i64::from(weight as i16),
                digits: &rest[4..],
            }
        };
        let is_whole = number.digits.len() % 2 == 0;
        if !is_whole || (0..number.digits.len() as i64 / 2).any(|place| number.digit(place) > 9999) {
            return Err(malformed);
        }
        Ok(number)
    }

    /// A digit by its place; zeros on both sides.
    fn digit(&self, place: i64) -> u16 {
        let at = usize::try_from(place).ok().and_then(|place| self.digits.get(2 * place..2 * place + 2));
        at.map_or(0, |at| u16::from_ne_bytes([at[0], at[1]]))
    }

    /// The number, if it is printed as an integer of at most 36 digits.
    pub fn as_integer(&self) -> Option<i128> {
        if self.scale != 0 || !(0..9).contains(&self.weight) {
            return None;
        }
        let magnitude =
            (0..=self.weight).fold(0_i128, |sum, place| sum * 10_000 + i128::from(self.digit(place)));
        match (self.is_negative, magnitude) {
            (false, magnitude) => Some(magnitude),
            (true, 0) => None,
            (true, magnitude) => Some(-magnitude),
        }
    }

    /// The number as PostgreSQL prints it.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.digits.len() * 2 + self.scale.min(8) + 4);
        if self.is_negative {
            text.push('-');
        }
        let whole = text.len();
        for place in 0..=self.weight {
            push_group(&mut text, self.digit(place));
        }
        let zeros = text[whole..].bytes().take_while(|digit| *digit == b'0').count();
        text.replace_range(whole..whole + zeros, "");
        if text.len() == whole {
            text.push('0');
        }
        if self.scale > 0 {
            text.push('.');
            let end = text.len() + self.scale;
            // Before the first digit there may be zeros.
            let mut place = self.weight + 1;
            while text.len() < end {
                push_group(&mut text, self.digit(place));
                place += 1;
            }
            text.truncate(end);
        }
        text
    }
}

fn push_group(text: &mut String, group: u16) {
    for unit in [1000, 100, 10, 1] {
        text.push(char::from(b'0' + (group / unit % 10) as u8));
    }
}
