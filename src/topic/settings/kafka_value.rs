//! Values as Kafka writes them in a configuration, and as people do: `604800000` or `7d`, `1073741824` or `1GiB`.

use std::time::Duration;

/// Kafka's word for a duration without end.
const FOREVER: &str = "-1";

/// A duration in milliseconds, or with a unit: `500ms`, `30s`, `10m`, `12h`, `7d`. -1 is without end.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == FOREVER {
        return Some(Duration::MAX);
    }
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // Kafka's "never" is the largest i64.
    let total = number.checked_mul(millis).filter(|total| *total < i64::MAX.unsigned_abs());
    Some(total.map_or(Duration::MAX, Duration::from_millis))
}

/// Milliseconds, the largest i64 for a duration without end.
pub(in crate::topic) fn format_duration(duration: Duration) -> String {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).to_string()
}

/// A number of bytes, or with a unit: `64KiB`, `16MiB`, `1GiB`.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_and_without_units() {
        assert_eq!(parse_duration("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("-1"), Some(Duration::MAX));
        assert_eq!(parse_duration(&i64::MAX.to_string()), Some(Duration::MAX));
        assert_eq!(parse_duration("7 d"), None);
        assert_eq!(parse_duration("-2"), None);
        assert_eq!(format_duration(Duration::from_secs(1)), "1000");
        assert_eq!(format_duration(Duration::MAX), i64::MAX.to_string());
    }

    #[test]
    fn sizes_with_and_without_units() {
        assert_eq!(parse_bytes("1048588"), Some(1_048_588));
        assert_eq!(parse_bytes("16MiB"), Some(16 << 20));
        assert_eq!(parse_bytes("16MB"), None);
        assert_eq!(parse_bytes(""), None);
        assert_eq!(parse_bytes("99999999999TiB"), None);
    }
}
