//! Times as RFC 3339 in UTC, with as many digits behind the second as it takes.

use std::fmt;

use prost_types::Timestamp;
use serde::{Deserializer, Serializer, de, ser};

/// The times that have four digits for the year and that jiff reads: from 0000-01-01 to almost the end of 9999.
const SECONDS: std::ops::Range<i64> = -62_167_219_200..253_402_207_200;
const LONGEST: usize = "2025-11-29T12:00:00.123456789Z".len();
const SHORTEST: usize = "2025-11-29T12:00:00Z".len();

pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(time) = time else {
        return serializer.serialize_none();
    };
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let (true, Some(nanos)) = (SECONDS.contains(&time.seconds), nanos) else {
        return Err(ser::Error::custom("a time is not in the years 0000 to 9999"));
    };
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let text = rfc3339(time.seconds, nanos, &mut text);
    // All of it is ASCII.
    serializer.serialize_str(str::from_utf8(text).unwrap_or_default())
}

/// Fills in the digits. Not jiff's: six times stand in a typical event, and this takes half as long.
fn rfc3339(seconds: i64, nanos: u32, text: &mut [u8; LONGEST]) -> &[u8] {
    let second = seconds.rem_euclid(86_400) as u32;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    decimal(&mut text[..4], year);
    decimal(&mut text[5..7], month);
    decimal(&mut text[8..10], day);
    decimal(&mut text[11..13], second / 3600);
    decimal(&mut text[14..16], second / 60 % 60);
    decimal(&mut text[17..19], second % 60);
    let mut last = SHORTEST - 1;
    if nanos != 0 {
        decimal(&mut text[20..29], nanos);
        last = LONGEST - 1;
        while text[last - 1] == b'0' {
            last -= 1;
        }
    }
    text[last] = b'Z';
    &text[..=last]
}

fn decimal(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970 that lies in [`SECONDS`]: `civil_from_days` of Howard Hinnant's
/// "chrono-compatible low-level date algorithms", which counts years from March so that a leap day is the last.
fn civil(day: i64) -> (u32, u32, u32) {
    const ERA: u32 = 146_097;
    // From 0000-03-01, and an era more so that January 0000 is not negative.
    let day = (day + 719_468 + i64::from(ERA)).cast_unsigned() as u32;
    let (era, day) = (day / ERA, day % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    (year + era * 400 - 400, month, day)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_str(Rfc3339).map(Some)
}

struct Rfc3339;

impl de::Visitor<'_> for Rfc3339 {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as in RFC 3339")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        // Protobuf counts nanoseconds forward, also before 1970.
        Ok(Timestamp {
            seconds: time.as_nanosecond().div_euclid(1_000_000_000) as i64,
            nanos: time.as_nanosecond().rem_euclid(1_000_000_000) as i32,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(seconds: i64, nanos: u32) -> String {
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        String::from_utf8(rfc3339(seconds, nanos, &mut text).to_vec()).unwrap()
    }

    fn by_jiff(seconds: i64, nanos: u32) -> String {
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        jiff::Timestamp::from_nanosecond(nanos).unwrap().to_string()
    }

    #[test]
    fn every_month_has_its_days_around_centuries_with_and_without_a_leap_day() {
        for year in [1896, 1996, 2096] {
            let from = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
            for day in 0..8 * 366 {
                let seconds = from.timestamp().as_second() + day * 86_400;
                assert_eq!(written(seconds, 0), by_jiff(seconds, 0));
            }
        }
    }

    proptest! {
        #[test]
        fn a_time_is_written_as_jiff_writes_it(seconds in SECONDS, nanos in 0_u32..1_000_000_000, cut in 0_u32..10) {
            let nanos = nanos - nanos % 10_u32.pow(cut);
            prop_assert_eq!(written(seconds, nanos), by_jiff(seconds, nanos));
        }
    }
}
