//! A time as people read it.

use std::fmt;

use super::Timestamp;

/// Shows Unix milliseconds as a date and time in UTC; beyond the years of four digits as the number they are.
pub(crate) struct Utc(pub(crate) Timestamp);

const MILLIS_OF_DAY: i64 = 86_400_000;
/// From 0000-03-01, where the count of days below begins, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const DAYS_OF_ERA: i64 = 146_097;

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0.div_euclid(MILLIS_OF_DAY), self.0.rem_euclid(MILLIS_OF_DAY));
        let (year, month, day) = date(days);
        if !(0..=9999).contains(&year) {
            return write!(f, "{} ms", self.0);
        }
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day so many days after 1970-01-01. Years are counted from March on, so that a leap day ends one.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    // Leap days are left out: one after 4 years, none after 100, one after 400.
    let plain = day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096;
    let year_of_era = plain / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March to July and August to December have 153 days each.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year_of_era + i64::from(is_next_year), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_times_and_every_day_of_800_years() {
        let shown = |millis| Utc(millis).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(shown(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(shown(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(shown(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(253_402_300_800_000), "253402300800000 ms");
        assert_eq!(shown(i64::MAX), "9223372036854775807 ms");
        assert_eq!(shown(i64::MIN), "-9223372036854775808 ms");
        // From 1600-01-01 on, counted by hand.
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for days in -135_140..157_060 {
            assert_eq!(date(days), (year, month, day), "day {days}");
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
