//! The outbox: where an event stands in its order, and what a timeline's history tells of it.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A place in the outbox's order, and the cursor that readers pass: everything up to it has been read.
///
/// Ordered as the outbox is: by the epoch, by the transaction that wrote the event, by the event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Rises when transaction ids start anew: `nexus.outbox_epoch`.
    pub epoch: u32,
    /// The id of the transaction that wrote the event.
    pub xact_id: u64,
    /// The event; of a place behind all events of a transaction the greatest id.
    pub domain_event_id: Uuid,
}

/// The text is not that of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    /// Reads `epoch.transaction.id`, as [`fmt::Display`] writes it and no other way.
    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.split('.');
        let (Some(epoch), Some(xact_id), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoCursor);
        };
        let is_number = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(epoch, 9) || !is_number(xact_id, 20) || id.len() != 36 {
            return Err(NoCursor);
        }
        Ok(Self {
            epoch: epoch.parse().map_err(|_| NoCursor)?,
            xact_id: xact_id.parse().map_err(|_| NoCursor)?,
            domain_event_id: Uuid::try_parse(id).map_err(|_| NoCursor)?,
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.epoch, self.xact_id, self.domain_event_id)
    }
}

/// The reason that PostgreSQL writes into a timeline's history when a standby was promoted, or recovery went to
/// the end of the log; where recovery stopped earlier, the reason names the target.
const TO_THE_END: &str = "no recovery target specified";

/// Whether everything since timeline `since` is a recovery to the end of the log, as a promotion is, and never to
/// an earlier point. `history` is the content of `pg_wal/<timeline>.history`: a line for each ancestor, with the
/// ancestor's timeline, where it was left, and why.
pub fn is_promotion(history: &str, since: u32) -> bool {
    let mut switches = history
        .lines()
        .filter_map(|line| {
            let mut columns = line.splitn(3, '\t');
            let timeline: u32 = columns.next()?.trim().parse().ok()?;
            Some((timeline, columns.nth(1).unwrap_or_default().trim()))
        })
        .filter(|(timeline, _)| *timeline >= since)
        .peekable();
    switches.peek().is_some_and(|(timeline, _)| *timeline == since)
        && switches.all(|(_, reason)| reason == TO_THE_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_cursor_is_written_as_it_is_read() {
        for text in [format!("1.742.{ID}"), format!("12.18446744073709551615.{ID}")] {
            assert_eq!(text.parse::<Cursor>().expect("a cursor").to_string(), text);
        }
        for text in [
            String::new(),
            "1.742".to_owned(),
            format!("1.742.{ID}.1"),
            format!("-1.742.{ID}"),
            format!("+1.742.{ID}"),
            format!("1.18446744073709551616.{ID}"),
            format!("1234567890.742.{ID}"),
            format!("1.742.{{{ID}}}"),
            format!("1.742.{}", ID.replace('-', "")),
            format!("1 .742.{ID}"),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }

    #[test]
    fn a_later_epoch_comes_after_whatever_its_transactions() {
        let cursor = |text: &str| format!("{text}.{ID}").parse::<Cursor>().expect("a cursor");
        assert!(cursor("1.900") < cursor("2.5") && cursor("2.5") < cursor("2.10"));
    }

    #[test]
    fn a_history_tells_a_promotion_from_a_restore_to_a_point() {
        let promoted = "1\t0/5000000\tno recovery target specified\n";
        let restored = "1\t0/5000000\tat restore point \"before\"\n";
        let again = format!("{restored}\n2\t0/7000000\tno recovery target specified\n");
        assert!(is_promotion(promoted, 1));
        assert!(!is_promotion(restored, 1) && !is_promotion(&again, 1));
        // From the second timeline on it was a promotion; of a timeline it does not come from it tells nothing.
        assert!(is_promotion(&again, 2));
        assert!(!is_promotion(promoted, 2) && !is_promotion("", 1));
    }
}
