// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All text for people, so that it can be translated in one place. Failures carry their stable
//! codes and exit codes here as well.

pub(crate) mod answers;
pub(crate) mod doctor;
mod failures;
mod folding;
pub(crate) mod help;

pub(crate) use failures::*;

/// Stands at the beginning of a new configuration file.
pub(crate) const CONFIG_HEADER: &str = "\
# The configuration of waxwingd. Unknown keys are refused; restart the server after a change.
#
# listen             the IP address and port to listen on
# transports         [\"quic\", \"tcp\"], or one of them
# constant_packets   true: all packets over QUIC have one length, so that lengths tell nothing
# name               the host name in links and in `alice@host`; clients keep it for ever
# public_port        the port in links, where it is not the one above
# open_registration  true: people register without an invite
# rate_limits        false: nobody is limited in how often they call; for measurements only
# retention_days     how long a message waits for a device that does not come (1 to 365)
# engine             what keeps the tables: \"sled\" or \"redb\"; see `waxwingd import --help`

";

pub(crate) const HOST_SYNTAX: &str = "it must be a host name in lower case or an IP address";
pub(crate) const NOT_UTF_8: &str = "it is not a text in UTF-8";
pub(crate) const KEY_MISSING: &str = "it is not there";
pub(crate) const PORT_NOT_ZERO: &str = "the port must not be 0, because links carry it";
pub(crate) const ELSEWHERE_SYNTAX: &str = "it must be HOST:PORT";
pub(crate) const TRANSPORTS_RANGE: &str = "it must name quic, tcp or both, each once";
pub(crate) const ENGINE_NAMES: &str = "it must be the name of an engine that this program has";
pub(crate) const RETENTION_RANGE: &str = "it must be 1 to 365";
pub(crate) const LIFETIME_SYNTAX: &str = "say a number and m, h, d or w, such as 7d, or `never`";

/// A day, counted from the Unix epoch, as a date.
pub(crate) fn date(day: u32) -> String {
    const EPOCH_JULIAN_DAY: i32 = 2_440_588;
    i32::try_from(day)
        .ok()
        .and_then(|day| day.checked_add(EPOCH_JULIAN_DAY))
        .and_then(|day| time::Date::from_julian_day(day).ok())
        .map_or_else(|| format!("day {day}"), |date| date.to_string())
}

/// A minute, counted from the Unix epoch, as date and time in UTC.
pub(crate) fn date_and_time(minute: u32) -> String {
    const MINUTES_PER_DAY: u32 = 24 * 60;
    let within = minute % MINUTES_PER_DAY;
    let (hours, minutes) = (within / 60, within % 60);
    format!(
        "{} {hours:02}:{minutes:02} UTC",
        date(minute / MINUTES_PER_DAY)
    )
}

/// A number with a space between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes with a unit.
pub(crate) fn byte_count(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10).checked_div(unit).unwrap_or(0);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_read_well() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(20_780), "2026-11-23");
        assert_eq!(date_and_time(20_780 * 1440 + 75), "2026-11-23 01:15 UTC");
        assert_eq!(date(u32::MAX), format!("day {}", u32::MAX));
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(123_456), "123 456");
        assert_eq!(byte_count(999), "999 B");
        assert_eq!(byte_count(1_250_000), "1.2 MB");
    }
}
