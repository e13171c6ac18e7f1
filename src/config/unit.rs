//! Parses durations (`90s`, `5m`, `24h`, `30d`) and sizes (`16MiB`).

use std::time::Duration;

/// A whole number with one of the units s, m, h and d. `None` for anything else, and for more than ten years.
pub fn duration(text: &str) -> Option<Duration> {
    read_duration(text).ok()
}

/// As [`duration`]; the error says what is wrong, and is empty if the text is not written like a duration.
pub(super) fn read_duration(text: &str) -> Result<Duration, String> {
    /// Longer than any retention or delay, and far from any overflow.
    const LONGEST: u64 = 3660 * 86_400;
    let seconds = quantity(text, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])?.filter(|found| *found <= LONGEST);
    seconds.map(Duration::from_secs).ok_or_else(|| " is longer than the ten years allowed".to_owned())
}

/// A whole number with one of the units B, KiB, MiB and GiB, in bytes. `None` for anything else, and for more than 1 TiB.
pub fn size(text: &str) -> Option<u64> {
    read_size(text).ok()
}

/// As [`size`]; the error says what is wrong, and is empty if the text is not written like a size.
pub(super) fn read_size(text: &str) -> Result<u64, String> {
    let bytes = quantity(text, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])?;
    bytes.filter(|found| *found <= 1 << 40).ok_or_else(|| " is larger than the 1024GiB allowed".to_owned())
}

/// `None` for a number beyond 64 bits.
fn quantity(text: &str, units: &[(&str, u64)]) -> Result<Option<u64>, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0).ok_or_else(String::new)?;
    let (_, unit) = units.iter().find(|(unit, _)| *unit == text[end..].trim_start()).ok_or_else(String::new)?;
    Ok(text[..end].parse().ok().and_then(|number: u64| number.checked_mul(*unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        let cases = [("90s", 90), ("5m", 300), ("24h", 86_400), ("30d", 2_592_000), ("0s", 0), ("5 m", 300)];
        for (text, seconds) in cases {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "m", "-5m", "1.5h", "5min", "1h30m", "5M", "99999999999999999999s", "4000d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(read_duration("3660d"), Ok(Duration::from_hours(3660 * 24)));
        for long in ["3661d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(read_duration(long).unwrap_err().contains("ten years"), "{long}");
        }
        assert_eq!(read_duration("99999999999999999999"), Err(String::new()));
    }

    #[test]
    fn sizes_have_one_number_and_one_binary_unit() {
        for (text, bytes) in [("16MiB", 16 << 20), ("1GiB", 1 << 30), ("4 KiB", 4096), ("10B", 10)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "16", "16MB", "16M", "-1B", "2000GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(read_size("1024GiB"), Ok(1 << 40));
        assert!(read_size("1025GiB").unwrap_err().contains("1024GiB"));
    }
}
