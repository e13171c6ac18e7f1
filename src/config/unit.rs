//! Durations (`90s`, `5m`, `24h`, `30d`) and sizes (`16MiB`) as people write them.

use std::time::Duration;

/// A whole number with one of the units s, m, h and d. `None` for anything else, and for more than ten years.
pub fn duration(text: &str) -> Option<Duration> {
    /// Longer than anything that is kept or waited for, and far from any overflow.
    const LONGEST: u64 = 3660 * 86_400;
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|seconds| *seconds <= LONGEST).map(Duration::from_secs)
}

/// A whole number with one of the units B, KiB, MiB and GiB, in bytes. `None` for anything else, and for more than 1 TiB.
pub fn size(text: &str) -> Option<u64> {
    const LARGEST: u64 = 1 << 40;
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes).filter(|bytes| *bytes <= LARGEST)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
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
    }

    #[test]
    fn sizes_have_one_number_and_one_binary_unit() {
        for (text, bytes) in [("16MiB", 16 << 20), ("1GiB", 1 << 30), ("4 KiB", 4096), ("10B", 10)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "16", "16MB", "16M", "-1B", "2000GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
