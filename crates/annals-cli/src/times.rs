//! Times and lengths of time, as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use annals::Timestamp;
use jiff::civil::{Date, Time};

/// Milliseconds since 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Unix milliseconds, RFC 3339, a date or a time without a zone, which are of UTC, or `-1h`.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(millis) = text.parse::<i64>()
        && millis >= 0
    {
        return Ok(millis);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = i64::try_from(parse_length(ago)?.as_millis()).unwrap_or(i64::MAX);
        return Ok(now().saturating_sub(ago).max(0));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    parse_in_utc(text).ok_or_else(|| {
        let forms = "Unix milliseconds, 2026-01-31T06:00:00Z, 2026-01-31, or -1h for an hour ago";
        format!("{text:?} is no time: {forms}")
    })
}

/// A date, which alone is its first moment, or one and a time of day. A parser of both would pass over a zone that stands behind
/// them: each is looked at by itself.
fn parse_in_utc(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    let is_of =
        |part: &str, marks: &[u8]| part.bytes().all(|one| one.is_ascii_digit() || marks.contains(&one));
    if date.len() != "2026-01-31".len() || !is_of(date, b"-") || !is_of(time, b":.") {
        return None;
    }
    let moment = date.parse::<Date>().ok()?.to_datetime(time.parse::<Time>().ok()?);
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Milliseconds, or with a unit.
pub(crate) fn parse_length(text: &str) -> Result<Duration, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let wrong =
        || format!("{text:?} is no length of time: milliseconds, or with a unit: 250ms, 30s, 5m, 12h, 7d");
    let millis_of_unit = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(millis_of_unit).map(Duration::from_millis).ok_or_else(wrong)
}

/// A time as people read it; `-` for none.
pub(crate) fn show_time(time: Option<Timestamp>) -> String {
    let shown = time.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    shown.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_is_documented() {
        assert_eq!(parse_time("1700000000000"), Ok(1_700_000_000_000));
        assert_eq!(parse_time("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!(parse_time("2023-11-14T23:13:20+01:00"), Ok(1_700_000_000_000));
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000));
        assert_eq!(parse_time("1970-01-02T00:00:01"), Ok(86_401_000));
        assert_eq!(parse_time("1970-01-02 06:00"), Ok(86_400_000 + 6 * 3_600_000));
        assert_eq!(parse_time("1970-01-02T23:59:00.5"), Ok(2 * 86_400_000 - 60_000 + 500));
        assert!(parse_time("1970-01-02T").is_err() && parse_time("23:59").is_err());
        let hour_ago = now() - 3_600_000;
        assert!((parse_time("-1h").unwrap() - hour_ago).abs() < 60_000);
        assert!(parse_time("yesterday").unwrap_err().contains("yesterday"));
        assert!(parse_time("").is_err());
    }

    #[test]
    fn no_part_of_a_time_is_passed_over() {
        for wrong in [
            "2026-01-31T06:00:00[Europe/Berlin]",
            "2026-01-31[Europe/Berlin]",
            "2026-01-31Z",
            "2026-01-31T25:00",
            "2026-02-30",
            "2026-01-31T06:00:00 CET",
            "2026-01-31T06:00:00-",
        ] {
            assert!(parse_time(wrong).is_err(), "{wrong} is {:?}", parse_time(wrong));
        }
    }

    #[test]
    fn lengths_have_units() {
        assert_eq!(parse_length("250"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_length("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_length("7d"), Ok(Duration::from_secs(604_800)));
        assert!(parse_length("7 days").is_err());
        assert!(parse_length("d").is_err());
        assert!(parse_length("99999999999999999999d").is_err());
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show_time(Some(1_700_000_000_000)), "2023-11-14T22:13:20.000Z");
        assert_eq!(show_time(None), "-");
        assert_eq!(show_time(Some(i64::MAX)), "-");
    }
}
