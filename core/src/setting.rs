//! The platform's settings: the tier above connectors and flows, kept in `nexus.setting`.

use crate::error::{Code, Error};
use serde_json::Value;

/// A setting of the platform: a whole number within bounds.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value where none is set.
    pub default: i64,
    /// The least value it may have.
    pub least: i64,
    /// The greatest value it may have.
    pub greatest: i64,
    /// What it is, with its unit.
    pub description: &'static str,
}

/// A number of days to keep something.
const fn days(name: &'static str, default: i64, description: &'static str) -> Setting {
    Setting { name, default, least: 1, greatest: 36_500, description }
}

/// Every setting.
pub static SETTINGS: [Setting; 7] = [
    days("event_retention_days", 90, "Days that inbound events are kept with their bodies, in whole months."),
    days("domain_event_retention_days", 90, "Days that the outbox is kept, in whole months."),
    days(
        "webhook_delivery_log_retention_days",
        30,
        "Days that the log of attempts is kept, in whole months.",
    ),
    days("activity_log_retention_days", 400, "Days that the activity log is kept, in whole months."),
    days("job_retention_days", 90, "Days that jobs are kept once they have ended."),
    days(
        "idempotency_key_retention_days",
        400,
        "Days that a delivery is known to be a repetition; longer than events are kept.",
    ),
    Setting {
        name: "partition_months_ahead",
        default: 3,
        least: 1,
        greatest: 24,
        description: "Months for which partitions stand ready.",
    },
];

/// Refuses a name that is no setting's, and a value that it cannot have.
pub fn check(name: &str, value: &Value) -> Result<(), Error> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        return Err(Error::new(Code::InvalidArgument, format!("there is no setting \"{name}\""))
            .hint(format!("one of {}", known.join(", "))));
    };
    match value.as_i64() {
        Some(number) if (setting.least..=setting.greatest).contains(&number) => Ok(()),
        _ => {
            let message = format!("must be a whole number from {} to {}", setting.least, setting.greatest);
            Err(Error::new(Code::InvalidArgument, message).at(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_setting_has_a_value_within_its_bounds() {
        assert!(check("event_retention_days", &json!(30)).is_ok());
        for value in [json!(0), json!("30"), json!(1.5), json!(null)] {
            assert!(check("event_retention_days", &value).is_err(), "{value}");
        }
        assert!(check("retention", &json!(30)).is_err());
        for setting in &SETTINGS {
            assert!(check(setting.name, &json!(setting.default)).is_ok(), "{}", setting.name);
        }
    }
}
