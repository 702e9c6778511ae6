//! How people write times: `2.5ms`, `300us`, `1.000017s`. Exact: a time that is written and read is what it was.

use serde::{Deserialize, Deserializer, Serializer};

use crate::Time;

const UNITS: [(&str, Time, usize); 4] =
    [("ns", 1, 0), ("us", 1_000, 3), ("ms", 1_000_000, 6), ("s", 1_000_000_000, 9)];

/// Writes a time, in milliseconds unless it is shorter than one.
pub fn format(time: Time) -> String {
    let (name, unit, digits) = match time {
        0 => return "0ms".into(),
        1..1_000 => UNITS[0],
        1_000..1_000_000 => UNITS[1],
        _ => UNITS[2],
    };
    let (whole, rest) = (time / unit, time % unit);
    if rest == 0 {
        return format!("{whole}{name}");
    }
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}{name}", fraction.trim_end_matches('0'))
}

/// Reads a time.
///
/// # Errors
/// What is wanted instead.
pub fn parse(text: &str) -> Result<Time, String> {
    let wanted = || format!("a time like 2.5ms, 300us, 17ns or 1.5s is wanted, not `{text}`");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wanted)?;
    let (number, name) = text.split_at(end);
    let (_, unit, digits) = UNITS.iter().find(|(unit, _, _)| *unit == name).ok_or_else(wanted)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > *digits || whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
        return Err(wanted());
    }
    let whole: Time = whole.parse().map_err(|_| wanted())?;
    let rest: Time = match fraction {
        "" => 0,
        some => format!("{some:0<digits$}").parse().map_err(|_| wanted())?,
    };
    whole.checked_mul(*unit).and_then(|time| time.checked_add(rest)).ok_or_else(wanted)
}

/// For `#[serde(with = "crate::times")]`: a text where people read it, else a number.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&format(*time))
    } else {
        serializer.serialize_u64(*time)
    }
}

/// The other half.
///
/// # Errors
/// When it is no time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    if deserializer.is_human_readable() {
        parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    } else {
        u64::deserialize(deserializer)
    }
}

/// The same for times that may be missing.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Time;

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "crate::times")] Time);

    /// A text or a number, or nothing.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(Wrapped).serialize(serializer)
    }

    /// The other half.
    ///
    /// # Errors
    /// When it is no time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for time in [0, 1, 999, 1_000, 1_001, 999_999, 1_000_000, 1_500_000, 12_345_678_901, u64::MAX / 2] {
            assert_eq!(parse(&format(time)), Ok(time), "{}", format(time));
        }
        assert_eq!(format(2_500_000), "2.5ms");
        assert_eq!(format(300_000), "300us");
        assert_eq!(parse("1.000017s"), Ok(1_000_017_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "5", "ms", "1.ms", ".5ms", "1.5ns", "-1ms", "5 ms", "99999999999999999999s", "1.2.3ms"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
