//! Times for people: in the reader's zone, with its name; windows; and until when orders can be recovered.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::incident::Window;
use crate::domain::reading::time::EXACT;

/// How far back orders can be fetched.
const RECOVERABLE_FOR: TimeDelta = TimeDelta::hours(168);

/// A window shorter than this is shown with seconds.
pub const SHORT: TimeDelta = TimeDelta::minutes(3);

/// `Mon 23 Nov 2026 09:05 GMT`.
pub fn at(time: DateTime<Utc>, zone: Tz) -> String {
    let local = time.with_timezone(&zone);
    format!("{} {}", local.format("%a %-d %b %Y %H:%M"), zone_name(&local))
}

/// The same with seconds: `Mon 23 Nov 2026 09:05:30 GMT`.
pub fn at_second(time: DateTime<Utc>, zone: Tz) -> String {
    let local = time.with_timezone(&zone);
    format!("{} {}", local.format("%a %-d %b %Y %H:%M:%S"), zone_name(&local))
}

/// As short as `now` allows: `09:05 GMT` on the same day; with seconds on request.
pub fn beside(time: DateTime<Utc>, now: DateTime<Utc>, zone: Tz, seconds: bool) -> String {
    let local = time.with_timezone(&zone);
    if local.date_naive() != now.with_timezone(&zone).date_naive() {
        return if seconds { at_second(time, zone) } else { at(time, zone) };
    }
    let clock = if seconds { "%H:%M:%S" } else { "%H:%M" };
    format!("{} {}", local.format(clock), zone_name(&local))
}

/// To the second, in a form that sorts: `2026-11-23 09:05:07 GMT`.
pub fn exact(time: DateTime<Utc>, zone: Tz) -> String {
    let local = time.with_timezone(&zone);
    format!("{} {}", local.format(EXACT), zone_name(&local))
}

/// The zone's usual abbreviation, or its offset where it has none.
fn zone_name(local: &DateTime<Tz>) -> String {
    let letters = local.format("%Z").to_string();
    if letters.starts_with(['+', '-']) { local.format("UTC%:z").to_string() } else { letters }
}

/// How long ago something was, in the largest unit that fits: `40 s`, `12 min`, `3 h`, `2 d`.
pub fn ago(age: TimeDelta) -> String {
    match age.num_seconds().max(0) {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds if seconds < 3600 => format!("{} min", seconds / 60),
        seconds if seconds < 48 * 3600 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// When an incident that is over began, approximately.
pub fn about(window: Window, zone: Tz) -> String {
    match window.last_good {
        Some(good) => format!("about {}", at(good, zone)),
        None => format!("before the first check, {}", at(window.first_bad, zone)),
    }
}

/// `between Mon 23 Nov 2026 09:05 and 09:10 GMT`, or that it was so at the first poll.
pub fn since(window: Window, zone: Tz) -> String {
    match window.last_good {
        Some(good) => between(good, window.first_bad, zone),
        None => format!("not known; already so at the first check, {}", at(window.first_bad, zone)),
    }
}

/// Both ends, with the parts that they share only once. The ends of a [`SHORT`] window have seconds.
pub fn between(start: DateTime<Utc>, end: DateTime<Utc>, zone: Tz) -> String {
    let (from, to) = (start.with_timezone(&zone), end.with_timezone(&zone));
    let names = (zone_name(&from), zone_name(&to));
    let clock = if end - start < SHORT { "%H:%M:%S" } else { "%H:%M" };
    let day = |time: &DateTime<Tz>| time.format(&format!("%a %-d %b %Y {clock}")).to_string();
    if names.0 != names.1 {
        format!("between {} {} and {} {}", day(&from), names.0, day(&to), names.1)
    } else if from.date_naive() == to.date_naive() {
        format!("between {} and {} {}", day(&from), to.format(clock), names.1)
    } else {
        format!("between {} and {} {}", day(&from), day(&to), names.1)
    }
}

/// Until when orders that stopped can be recovered, as of `now`.
pub fn recoverable(window: Window, now: DateTime<Utc>, zone: Tz) -> String {
    const WHY: &str = "Orders older than 7 days cannot be fetched later";
    let until = window.last_good.unwrap_or(window.first_bad) + RECOVERABLE_FOR;
    let shown = at(until, zone);
    if until <= now {
        let reach = at(now - RECOVERABLE_FOR, zone);
        let known = match window.last_good {
            Some(_) => format!("all orders could be recovered until {shown}, which has passed"),
            None => "it is not known when this began".to_owned(),
        };
        return format!(
            "{known}. Orders placed before {reach} may have to be entered by hand, and every hour loses more. {WHY}"
        );
    }
    match window.last_good {
        Some(_) => {
            format!("put it right before {shown} and all orders can still be recovered. {WHY}")
        }
        None => format!(
            "it is not known when this began: put it right at once, before {shown} at the latest. {WHY}, so some may be lost already"
        ),
    }
}

/// What to check once orders flow again.
pub fn catching_up(window: Window, zone: Tz) -> String {
    let placed = match window.last_good {
        Some(good) => format!("placed since {}", at(good, zone)),
        None => "placed before this was put right".to_owned(),
    };
    format!("check that all orders {placed} have arrived. Orders older than 7 days cannot be fetched later")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_age_is_in_the_largest_unit_that_fits() {
        let shown = [0, 59, 60, 3599, 3600, 172_799, 172_800].map(|seconds| ago(TimeDelta::seconds(seconds)));
        assert_eq!(shown, ["0 s", "59 s", "1 min", "59 min", "1 h", "47 h", "2 d"]);
    }

    #[test]
    fn a_time_of_the_same_day_is_shown_without_the_day() {
        let (zone, now) = (chrono_tz::Europe::London, utc("2026-07-01T09:05:00Z"));
        for (time, seconds, shown) in [
            ("2026-07-01T09:05:07Z", false, "10:05 BST"),
            ("2026-07-01T09:05:07Z", true, "10:05:07 BST"),
            // A day begins at midnight in the zone.
            ("2026-06-30T23:00:00Z", false, "00:00 BST"),
            ("2026-06-30T22:59:59Z", false, "Tue 30 Jun 2026 23:59 BST"),
            ("2026-06-30T22:59:59Z", true, "Tue 30 Jun 2026 23:59:59 BST"),
            ("2026-07-01T23:00:00Z", false, "Thu 2 Jul 2026 00:00 BST"),
        ] {
            assert_eq!(beside(utc(time), now, zone, seconds), shown);
        }
    }

    #[test]
    fn a_window_shows_the_shared_parts_of_its_ends_once() {
        let zone = chrono_tz::Europe::London;
        let cases = [
            ("2026-11-23T09:05:00Z", "2026-11-23T09:10:00Z", "between Mon 23 Nov 2026 09:05 and 09:10 GMT"),
            (
                "2026-11-22T23:58:00Z",
                "2026-11-23T00:03:00Z",
                "between Sun 22 Nov 2026 23:58 and Mon 23 Nov 2026 00:03 GMT",
            ),
            ("2026-11-23T09:05:01Z", "2026-11-23T09:05:31Z", "between Mon 23 Nov 2026 09:05:01 and 09:05:31 GMT"),
            ("2026-11-23T09:05:58Z", "2026-11-23T09:06:03Z", "between Mon 23 Nov 2026 09:05:58 and 09:06:03 GMT"),
            ("2026-11-23T09:05:00Z", "2026-11-23T09:07:59Z", "between Mon 23 Nov 2026 09:05:00 and 09:07:59 GMT"),
            ("2026-11-23T09:05:00Z", "2026-11-23T09:08:00Z", "between Mon 23 Nov 2026 09:05 and 09:08 GMT"),
            (
                "2026-10-25T00:58:00Z",
                "2026-10-25T01:03:00Z",
                "between Sun 25 Oct 2026 01:58 BST and Sun 25 Oct 2026 01:03 GMT",
            ),
        ];
        for (start, end, expected) in cases {
            assert_eq!(between(utc(start), utc(end), zone), expected);
        }
    }

    #[test]
    fn windows_over_both_clock_changes_distinguish_the_repeated_hour() {
        let (london, york) = (chrono_tz::Europe::London, chrono_tz::America::New_York);
        let cases = [
            (london, "2026-11-23T09:05:00Z", "2026-11-23T09:10:00Z", "Mon 23 Nov 2026 09:05 and 09:10 GMT"),
            (london, "2026-11-23T09:05:01Z", "2026-11-23T09:05:31Z", "Mon 23 Nov 2026 09:05:01 and 09:05:31 GMT"),
            (
                london,
                "2026-11-22T23:58:00Z",
                "2026-11-23T00:03:00Z",
                "Sun 22 Nov 2026 23:58 and Mon 23 Nov 2026 00:03 GMT",
            ),
            // The clocks go forward: an hour is left out.
            (
                london,
                "2026-03-29T00:55:00Z",
                "2026-03-29T01:00:00Z",
                "Sun 29 Mar 2026 00:55 GMT and Sun 29 Mar 2026 02:00 BST",
            ),
            (london, "2026-03-29T01:00:00Z", "2026-03-29T01:05:00Z", "Sun 29 Mar 2026 02:00 and 02:05 BST"),
            (
                york,
                "2026-03-08T06:55:00Z",
                "2026-03-08T07:00:00Z",
                "Sun 8 Mar 2026 01:55 EST and Sun 8 Mar 2026 03:00 EDT",
            ),
            (york, "2026-03-08T07:00:00Z", "2026-03-08T07:05:00Z", "Sun 8 Mar 2026 03:00 and 03:05 EDT"),
            // They go back: an hour comes twice, with another abbreviation.
            (london, "2026-10-25T00:30:00Z", "2026-10-25T00:35:00Z", "Sun 25 Oct 2026 01:30 and 01:35 BST"),
            (london, "2026-10-25T01:30:00Z", "2026-10-25T01:35:00Z", "Sun 25 Oct 2026 01:30 and 01:35 GMT"),
            (
                london,
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "Sun 25 Oct 2026 01:30 BST and Sun 25 Oct 2026 01:30 GMT",
            ),
            (york, "2026-11-01T05:30:00Z", "2026-11-01T05:35:00Z", "Sun 1 Nov 2026 01:30 and 01:35 EDT"),
            (york, "2026-11-01T06:30:00Z", "2026-11-01T06:35:00Z", "Sun 1 Nov 2026 01:30 and 01:35 EST"),
            (
                york,
                "2026-11-01T05:58:00Z",
                "2026-11-01T06:03:00Z",
                "Sun 1 Nov 2026 01:58 EDT and Sun 1 Nov 2026 01:03 EST",
            ),
        ];
        for (zone, start, end, expected) in cases {
            assert_eq!(between(utc(start), utc(end), zone), format!("between {expected}"));
        }
    }

    #[test]
    fn orders_can_be_recovered_for_168_hours_over_both_clock_changes() {
        let (london, york) = (chrono_tz::Europe::London, chrono_tz::America::New_York);
        let cases = [
            (london, "2026-03-26T10:00:00Z", "Thu 2 Apr 2026 11:00 BST"),
            (london, "2026-10-22T09:00:00Z", "Thu 29 Oct 2026 09:00 GMT"),
            (london, "2026-10-18T00:30:00Z", "Sun 25 Oct 2026 01:30 BST"),
            (london, "2026-10-18T01:30:00Z", "Sun 25 Oct 2026 01:30 GMT"),
            (york, "2026-03-05T15:00:00Z", "Thu 12 Mar 2026 11:00 EDT"),
            (york, "2026-10-29T14:00:00Z", "Thu 5 Nov 2026 09:00 EST"),
            (york, "2026-10-25T05:30:00Z", "Sun 1 Nov 2026 01:30 EDT"),
            (york, "2026-10-25T06:30:00Z", "Sun 1 Nov 2026 01:30 EST"),
        ];
        for (zone, good, expected) in cases {
            let window = Window { last_good: Some(utc(good)), first_bad: utc(good) + TimeDelta::minutes(5) };
            let open = recoverable(window, window.first_bad, zone);
            assert!(open.contains(&format!("before {expected} and all orders")), "{open}");
            let passed = recoverable(window, utc(good) + RECOVERABLE_FOR, zone);
            assert!(passed.contains(&format!("until {expected}, which has passed")), "{passed}");
        }
    }

    #[test]
    fn a_zone_without_letters_shows_its_offset() {
        assert_eq!(at(utc("2026-11-23T09:05:00Z"), chrono_tz::Asia::Dubai), "Mon 23 Nov 2026 13:05 UTC+04:00");
    }

    #[test]
    fn orders_can_be_recovered_for_a_week_after_the_last_good_poll() {
        let window = |last_good| Window { last_good, first_bad: utc("2026-11-23T09:10:00Z") };
        let (zone, now) = (chrono_tz::Europe::London, utc("2026-11-23T09:10:00Z"));
        let known = recoverable(window(Some(utc("2026-11-23T09:05:00Z"))), now, zone);
        assert!(known.contains("before Mon 30 Nov 2026 09:05 GMT and all orders"), "{known}");
        let unknown = recoverable(window(None), now, zone);
        assert!(unknown.contains("before Mon 30 Nov 2026 09:10 GMT at the latest"), "{unknown}");
        assert!(unknown.contains("not known when this began"), "{unknown}");
        let late = recoverable(window(None), utc("2026-12-01T09:10:00Z"), zone);
        assert!(
            late.contains("not known when this began") && late.contains("before Tue 24 Nov 2026 09:10 GMT"),
            "{late}"
        );
    }
}
