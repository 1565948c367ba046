//! Numbers with units, as people write them.

/// Bytes, or with a unit: those of Kafka's settings here, and thousands. Not 0.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let factor = |unit: &str| match unit {
        "" | "B" => Some(1),
        "kB" | "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    parse(text, factor)
        .ok_or_else(|| format!("{text:?} is no number of bytes from 1 on: 1048576, 64KiB, 1MiB, 1MB"))
}

/// A number from 1 on, or thousands and millions: `200k`, `2M`.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let factor = |unit: &str| match unit {
        "" => Some(1),
        "k" | "K" => Some(1_000),
        "M" => Some(1_000_000),
        _ => None,
    };
    parse(text, factor).ok_or_else(|| format!("{text:?} is no number from 1 on: 200000, 200k, 2M"))
}

fn parse(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    number.parse::<u64>().ok()?.checked_mul(factor(unit)?).filter(|all| *all > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_have_units_and_are_not_0() {
        assert_eq!(
            ["1MiB", "1MB", "7"].map(|text| parse_bytes(text).ok()),
            [Some(1 << 20), Some(1_000_000), Some(7)]
        );
        assert_eq!(
            ["200k", "2M", "5"].map(|text| parse_count(text).ok()),
            [Some(200_000), Some(2_000_000), Some(5)]
        );
        for wrong in
            ["", "0", "0k", "k", "-1", "1 MiB", "1mib", "99999999999999999999", "18446744073709551615M"]
        {
            assert!(parse_bytes(wrong).is_err() && parse_count(wrong).is_err(), "{wrong}");
        }
    }
}
