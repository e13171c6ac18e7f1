//! Intervals, as OrderWise, its exports and people write them.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The interval in seconds; `None` for null, empty and any other spelling.
///
/// Accepts a bare number of minutes (`5`, `5.0`), `Every 5 minutes` (seconds, hours, days, singular too), `00:05:00`, `PT5M`, the
/// cron expressions that mean an even interval (`*/5 * * * *`), `5m`, `Hourly`, `Daily` and `Daily at 09:00`.
pub fn parse(text: Option<&str>) -> Option<u64> {
    let text = text?.to_ascii_lowercase();
    let text = text.trim();
    minutes(text)
        .or_else(|| words(text))
        .or_else(|| clock(text))
        .or_else(|| iso(text))
        .or_else(|| cron(text))
        .or_else(|| named(text))
}

/// Whether the text says that there is no schedule, so that nothing runs by itself.
pub fn is_none(text: &str) -> bool {
    ["manual", "disabled", "never", "off", "none"].iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// `every 5 minutes`, the way people say it.
pub fn every(seconds: u64) -> String {
    format!("every {}", span(seconds))
}

/// `5 minutes`, in the largest unit that divides it.
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0 => (0, "minute"),
        s if s % DAY == 0 => (s / DAY, "day"),
        s if s % HOUR == 0 => (s / HOUR, "hour"),
        s if s % MINUTE == 0 => (s / MINUTE, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn minutes(text: &str) -> Option<u64> {
    scaled(text, MINUTE)
}

/// `number` times `unit` seconds, where that is a whole number of seconds.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let parts = whole.parse::<u64>().ok()? * scale + fraction.parse::<u64>().ok()?;
    let seconds = u128::from(parts) * u128::from(unit);
    if seconds % u128::from(scale) != 0 {
        return None;
    }
    u64::try_from(seconds / u128::from(scale)).ok()
}

fn unit(word: &str) -> Option<u64> {
    match word {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(HOUR),
        "d" | "day" | "days" => Some(DAY),
        _ => None,
    }
}

/// `every 5 minutes`, `every minute`, `5 minutes`, `5m`.
fn words(text: &str) -> Option<u64> {
    let stripped = text.strip_prefix("every ").map(str::trim);
    let rest = stripped.unwrap_or(text);
    let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, word) = (&rest[..number], rest[number..].trim());
    if number.is_empty() {
        return stripped.and_then(|_| unit(word));
    }
    if word.is_empty() {
        return stripped.and_then(|_| minutes(number));
    }
    scaled(number, unit(word)?)
}

/// `hh:mm:ss`.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|p| scaled(p, 1));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(hours * HOUR + minutes * MINUTE + seconds)
}

/// ISO 8601, `PT5M`, `P1DT2H`.
fn iso(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('p')?;
    let (date, time) = rest.split_once('t').unwrap_or((rest, ""));
    if date.is_empty() && time.is_empty() || rest.ends_with('t') {
        return None;
    }
    Some(iso_part(date, &[('d', DAY)])? + iso_part(time, &[('h', HOUR), ('m', MINUTE), ('s', 1)])?)
}

fn iso_part(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut total = 0u64;
    for (letter, unit) in units {
        if let Some((number, rest)) = text.split_once(*letter) {
            total = total.checked_add(scaled(number, *unit)?)?;
            text = rest;
        }
    }
    text.is_empty().then_some(total)
}

/// The cron expressions that come round evenly; any other one is not an interval.
fn cron(text: &str) -> Option<u64> {
    let fields = text.split_whitespace().collect::<Vec<_>>();
    let step = |field: &str, limit: u64| {
        let n = if field == "*" { 1 } else { field.strip_prefix("*/")?.parse::<u64>().ok()? };
        (n > 0 && limit.is_multiple_of(n)).then_some(n)
    };
    match fields.as_slice() {
        [minute, "*", "*", "*", "*"] | ["0", minute, "*", "*", "*", "*"] if minute.starts_with('*') => {
            step(minute, 60).map(|n| n * MINUTE)
        }
        ["0", hour, "*", "*", "*"] | ["0", "0", hour, "*", "*", "*"] if hour.starts_with('*') => {
            step(hour, 24).map(|n| n * HOUR)
        }
        [second, "*", "*", "*", "*", "*"] if second.starts_with('*') => step(second, 60),
        _ => None,
    }
}

/// `hourly`, `daily`, `daily at 09:00`.
fn named(text: &str) -> Option<u64> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["hourly"] => Some(HOUR),
        ["daily"] => Some(DAY),
        ["daily", "at", time] => is_time_of_day(time).then_some(DAY),
        _ => None,
    }
}

/// `9:00`, `09:00` or `09:00:00`.
fn is_time_of_day(text: &str) -> bool {
    let parts = text.split(':').map(|part| scaled(part, 1)).collect::<Vec<_>>();
    match parts.as_slice() {
        [Some(hour), rest @ ..] if matches!(rest.len(), 1 | 2) => {
            *hour < 24 && rest.iter().all(|part| part.is_some_and(|part| part < 60))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_five_minutes_is_five_minutes() {
        let spellings = [
            "5",
            "5.0",
            "5.00",
            "Every 5 minutes",
            "every 5 min",
            "EVERY  5  MINUTES",
            "5 minutes",
            "5m",
            "300s",
            "300 seconds",
            "00:05:00",
            "0:05:00",
            "PT5M",
            "pt300s",
            "P0DT5M",
            "*/5 * * * *",
            "0 */5 * * * *",
            "every 5",
        ];
        for text in spellings {
            assert_eq!(parse(Some(text)), Some(300), "{text}");
        }
    }

    #[test]
    fn other_intervals_are_read_in_their_units() {
        let cases = [
            ("Every minute", 60),
            ("every hour", 3600),
            ("Every 2 hours", 7200),
            ("Every day", 86400),
            ("1 second", 1),
            ("0", 0),
            ("0.5", 30),
            ("01:00:30", 3630),
            ("P1D", 86400),
            ("* * * * *", 60),
            ("0 */2 * * *", 7200),
            ("*/30 * * * * *", 30),
            ("24h", 86400),
            ("1.5h", 5400),
            ("Hourly", 3600),
            ("DAILY", 86400),
            ("Daily at 09:00", 86400),
            ("daily at  9:00", 86400),
            ("Daily at 23:59:59", 86400),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(Some(text)), Some(seconds), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_interval_is_not_guessed_at() {
        let texts = [
            "",
            "five",
            "-5",
            "5,0",
            "Every",
            "every five minutes",
            "05:00",
            "00:61:00",
            "P",
            "PT",
            "PT5",
            "*/7 * * * *",
            "*/0 * * * *",
            "5 * * * *",
            "0 9 * * *",
            "NaN",
            "inf",
            "1e3",
            "99999999999",
            "5 5 minutes",
            "0.001",
            "5 fortnights",
            "Daily at 24:00",
            "Daily at 9",
            "Daily at noon",
            "Daily at 09:60",
            "Hourly at 09:00",
            "Whenever",
            "Manual",
        ];
        for text in texts {
            assert_eq!(parse(Some(text)), None, "{text}");
        }
        assert_eq!(parse(None), None);
    }

    #[test]
    fn the_words_for_no_schedule_are_known_and_no_others() {
        for text in ["Manual", "DISABLED", "never", " Off ", "None"] {
            assert!(is_none(text), "{text}");
        }
        for text in ["", "0", "no", "Manually", "Whenever", "never again"] {
            assert!(!is_none(text), "{text}");
        }
    }

    #[test]
    fn an_interval_is_said_in_its_largest_unit() {
        for (seconds, said) in
            [(300, "every 5 minutes"), (60, "every 1 minute"), (7200, "every 2 hours"), (90, "every 90 seconds")]
        {
            assert_eq!(every(seconds), said);
        }
    }
}
