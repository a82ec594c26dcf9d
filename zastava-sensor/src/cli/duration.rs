//! Durations on the command line.

use std::{str::FromStr, time::Duration};

/// A duration as people write it: a whole number and a unit, `500ms`, `10s`, `5m`, `2h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(pub Duration);

/// A year: far enough for a sensor, near enough for any clock.
const MAX: Duration = Duration::from_hours(366 * 24);

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a whole number and a unit (500ms, 10s, 5m, 2h), from 1ms to a year")]
pub struct SpanError;

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(SpanError),
        };
        let number: u64 = number.parse().map_err(|_| SpanError)?;
        let duration = Duration::from_millis(number.checked_mul(unit_ms).ok_or(SpanError)?);
        if duration.is_zero() || duration > MAX {
            return Err(SpanError);
        }
        Ok(Self(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_whole_number_and_a_unit() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_millis(), ms);
        }
    }

    #[test]
    fn what_is_not_a_span_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "0s",
            "1d",
            "9000h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }
}
