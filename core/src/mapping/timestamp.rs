//! Times: whatever a platform writes, to RFC 3339 in UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::sync::LazyLock;

/// Years 1 to 9999: what RFC 3339 can write and PostgreSQL can read.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The zone of this IANA name. From the data compiled in, so that no two machines answer differently.
pub fn zone(name: &str) -> Option<TimeZone> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    ZONES.get(name).ok()
}

/// Reads a time with an offset, or one without in `zone`; a date alone is its midnight. Without a zone, a
/// time without an offset cannot be read. `/Date(…)/`, the way of older Microsoft software, is read as well.
pub fn parse(text: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let text = text.trim();
    let time = if let Some(ticks) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        from_ticks(ticks, zone)?
    } else if has_offset(text) {
        text.parse().ok().or_else(|| Some(rfc2822::parse(text).ok()?.timestamp()))?
    } else {
        let civil: DateTime = text.parse().ok()?;
        // In the hour that a change to summer time skips, or the one that is there twice, the zone's
        // offset from before the change counts, as RFC 5545 has it.
        civil.to_zoned(zone?.clone()).ok()?.timestamp()
    };
    SECONDS.contains(&time.as_second()).then_some(time)
}

/// A time out of units since 1970, such as seconds; a fraction is kept down to nanoseconds.
pub fn since_1970(text: &str, units_per_second: i64) -> Option<Timestamp> {
    let plain = super::decimal::plain(text)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let nanoseconds_per_unit = 1_000_000_000 / i128::from(units_per_second);
    let whole: i128 = whole.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<9.9}").parse().ok()?;
    let sign = if plain.starts_with('-') { -1 } else { 1 };
    let nanoseconds = whole
        .checked_mul(nanoseconds_per_unit)?
        .checked_add(sign * fraction * nanoseconds_per_unit / 1_000_000_000)?;
    let time = Timestamp::from_nanosecond(nanoseconds).ok()?;
    SECONDS.contains(&time.as_second()).then_some(time)
}

/// Milliseconds since 1970. With an offset behind they are those of UTC, and the offset only says where that
/// was; without one they count by the clock on the wall (OData 2.0, JSON format, Edm.DateTime).
fn from_ticks(ticks: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let offset = ticks.get(1..)?.find(['+', '-']).map(|place| place + 1);
    let time = since_1970(&ticks[..offset.unwrap_or(ticks.len())], 1000)?;
    match offset {
        Some(_) => Some(time),
        None => Some(TimeZone::UTC.to_datetime(time).to_zoned(zone?.clone()).ok()?.timestamp()),
    }
}

/// An offset stands after the time, or the time ends in `Z`; the dashes of the date are not one.
fn has_offset(text: &str) -> bool {
    let time = text.get(10..).unwrap_or_default();
    time.ends_with(['Z', 'z', ']']) || time.contains(['+', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str, zone_name: &str) -> Option<String> {
        parse(text, zone(zone_name).as_ref()).map(|time| time.to_string())
    }

    #[test]
    fn reads_times_with_an_offset() {
        for (text, expected) in [
            ("2021-12-31T19:00:00-05:00", "2022-01-01T00:00:00Z"),
            ("2022-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
            ("2022-01-01T01:00:00+0100", "2022-01-01T00:00:00Z"),
            ("2022-01-01 01:00:00.123456+01", "2022-01-01T00:00:00.123456Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("Sat, 03 Mar 2018 02:35:28 +0100", "2018-03-03T01:35:28Z"),
        ] {
            assert_eq!(utc(text, "").as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn reads_times_without_an_offset_in_their_zone() {
        for (text, zone, expected) in [
            ("2018-04-03T23:05:12", "UTC", "2018-04-03T23:05:12Z"),
            ("2018-04-03 23:05:12", "Europe/Amsterdam", "2018-04-03T21:05:12Z"),
            ("2018-01-03", "Europe/Amsterdam", "2018-01-02T23:00:00Z"),
            // Skipped by summer time, and there twice.
            ("2021-03-28T02:30:00", "Europe/Amsterdam", "2021-03-28T01:30:00Z"),
            ("2021-10-31T02:30:00", "Europe/Amsterdam", "2021-10-31T00:30:00Z"),
        ] {
            assert_eq!(utc(text, zone).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn reads_dates_of_older_microsoft_software() {
        for (text, zone, expected) in [
            ("/Date(1551812346157+0000)/", "", Some("2019-03-05T18:59:06.157Z")),
            ("/Date(1551812346157+1300)/", "", Some("2019-03-05T18:59:06.157Z")),
            ("/Date(1551746015603)/", "UTC", Some("2019-03-05T00:33:35.603Z")),
            ("/Date(1382659200000)/", "Europe/Amsterdam", Some("2013-10-24T22:00:00Z")),
            ("/Date(-62135596800000)/", "UTC", Some("0001-01-01T00:00:00Z")),
            ("/Date(1551746015603)/", "", None),
            ("/Date()/", "UTC", None),
            ("/Date(é)/", "UTC", None),
        ] {
            assert_eq!(utc(text, zone).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn reads_units_since_1970() {
        for (text, units, expected) in [
            ("1614265330", 1, "2021-02-25T15:02:10Z"),
            ("1614265330.25", 1, "2021-02-25T15:02:10.25Z"),
            ("1614265330123", 1000, "2021-02-25T15:02:10.123Z"),
            ("-1.5", 1, "1969-12-31T23:59:58.5Z"),
        ] {
            assert_eq!(since_1970(text, units).map(|time| time.to_string()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in
            ["", "now", "0000-00-00 00:00:00", "2021-02-30", "2021-01-01T25:00:00Z", "-0001-11-30T00:00:00Z"]
        {
            assert_eq!(utc(text, "UTC"), None, "{text}");
        }
        assert_eq!(parse("2021-01-01T00:00:00", None), None);
        assert_eq!(since_1970("1e40", 1), None);
    }

    proptest! {
        #[test]
        fn reads_any_text(text in "\\PC{0,40}") {
            parse(&text, Some(&TimeZone::UTC));
            since_1970(&text, 1000);
        }
    }
}
