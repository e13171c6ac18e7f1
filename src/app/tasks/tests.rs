//! The loop of schedules, with a wall clock that follows the paused clock of the runtime.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::*;
use crate::domain::name::Name;
use crate::domain::world::{World, start};

/// A wall clock that follows the clock of the runtime.
struct Follows {
    from: DateTime<Utc>,
    at: tokio::time::Instant,
}

impl Clock for Follows {
    fn now(&self) -> DateTime<Utc> {
        self.from + TimeDelta::from_std(self.at.elapsed()).unwrap()
    }
}

/// The first polls of so many sources take 16 s.
const SOURCES: usize = 800;

#[tokio::test(start_paused = true)]
async fn a_first_start_counts_nothing_late_and_ticks_during_the_first_polls() {
    let template = World::new().plan;
    let plan = |number| {
        let mut plan = template.clone();
        plan.name = Name::parse(&format!("erp-{number}")).unwrap();
        (plan.name.clone(), plan)
    };
    let plans = (0..SOURCES).map(plan).collect::<BTreeMap<_, _>>();
    let names = plans.keys().cloned().collect::<Vec<_>>();
    let metrics = Arc::new(Metrics::new(&names, "email").unwrap());
    let mailboxes = Arc::new(Mailboxes::default());
    let kept = names.iter().map(|name| mailboxes.open(name)).collect::<Vec<_>>();
    let published = Arc::new(Published::new(Arc::new(plans), BTreeMap::new()));
    // Every source falls due within the next seconds.
    let from = start() - TimeDelta::milliseconds(500);
    let clock = Arc::new(Follows { from, at: tokio::time::Instant::now() });
    let stop = CancellationToken::new();
    let timing = Timing {
        published: Arc::clone(&published),
        metrics: Arc::clone(&metrics),
        clock,
        mailboxes,
        service: ServiceManager::default(),
    };
    let early = async {
        tokio::time::sleep(Duration::from_secs(14)).await;
        let begun = kept.iter().filter(|mailbox| !mailbox.begin().due.is_empty()).count();
        tokio::time::sleep(Duration::from_secs(14)).await;
        stop.cancel();
        begun
    };
    let (outcome, begun) = tokio::join!(timing.run(stop.clone()), early);
    outcome.unwrap();
    assert_eq!(begun, SOURCES, "ticks reach sources that have not begun yet");
    let mut text = String::new();
    metrics.encode(&mut text).unwrap();
    let late = text.lines().filter(|line| line.starts_with("driftwise_audits_late_total{reason=\"downtime\""));
    let late = late.collect::<Vec<_>>();
    assert!(late.len() == SOURCES && late.iter().all(|line| line.ends_with(" 0")), "{late:#?}");
}

#[tokio::test(start_paused = true)]
async fn five_thousand_sources_tick_at_once_and_have_their_first_poll_within_a_minute() {
    const MANY: usize = 5_000;
    let mut template = World::new().plan;
    for session in template.sessions.values_mut() {
        // Due in months, so that only the start makes its schedule due.
        session.schedule = crate::domain::schedule::Schedule::parse("0 0 1 1 *", chrono_tz::UTC, start()).unwrap();
    }
    let plan = |number| {
        let mut plan = template.clone();
        plan.name = Name::parse(&format!("erp-{number}")).unwrap();
        (plan.name.clone(), plan)
    };
    let plans = (0..MANY).map(plan).collect::<BTreeMap<_, _>>();
    let names = plans.keys().cloned().collect::<Vec<_>>();
    let metrics = Arc::new(Metrics::new(&names, "email").unwrap());
    let mailboxes = Arc::new(Mailboxes::default());
    let kept = names.iter().map(|name| mailboxes.open(name)).collect::<Vec<_>>();
    let published = Arc::new(Published::new(Arc::new(plans), BTreeMap::new()));
    let clock = Arc::new(Follows { from: start(), at: tokio::time::Instant::now() });
    let stop = CancellationToken::new();
    let timing =
        Timing { published: Arc::clone(&published), metrics, clock, mailboxes, service: ServiceManager::default() };
    let begun = || kept.iter().filter(|mailbox| !mailbox.begin().due.is_empty()).count();
    let observed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ticking = published.read(crate::engine::published::Present::ticking);
        let first = begun();
        let mut second = 0;
        for _ in 0..29 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            second += begun();
        }
        tokio::time::sleep(ALL_BEGUN).await;
        let rest = begun();
        stop.cancel();
        (ticking, first, second, rest)
    };
    let (outcome, (ticking, first, second, rest)) = tokio::join!(timing.run(stop.clone()), observed);
    outcome.unwrap();
    assert_eq!(ticking, Some(true));
    assert_eq!(first + second + rest, MANY, "each once");
    // Few begin at the start, and half of them in half of the time.
    assert!(first < MANY / 20 && (first + second).abs_diff(MANY / 2) < MANY / 10, "{first}, {second}, {rest}");
}
