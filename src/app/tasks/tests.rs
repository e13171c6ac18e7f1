//! The loop of schedules, with a wall clock that goes with the paused runtime.

use chrono::TimeDelta;

use super::*;
use crate::domain::name::Name;
use crate::domain::world::{World, start};

/// Goes with the runtime's clock.
struct Follows {
    from: DateTime<Utc>,
    at: tokio::time::Instant,
}

impl Clock for Follows {
    fn now(&self) -> DateTime<Utc> {
        self.from + TimeDelta::from_std(self.at.elapsed()).unwrap()
    }
}

/// So many take sixteen seconds to begin, one after the other.
const SOURCES: usize = 800;

#[tokio::test(start_paused = true)]
async fn a_fresh_start_counts_nothing_late_and_ticks_while_many_sources_begin() {
    let template = World::new().plan;
    let plan = |number| {
        let mut plan = template.clone();
        plan.name = Name::parse(&format!("erp-{number}")).unwrap();
        (plan.name.clone(), plan)
    };
    let plans = (0..SOURCES).map(plan).collect::<BTreeMap<_, _>>();
    let names = plans.keys().cloned().collect::<Vec<_>>();
    let metrics = Arc::new(Metrics::new(&names, "email").unwrap());
    let inboxes: BTreeMap<Name, Arc<Inbox>> = names.iter().map(|name| (name.clone(), Arc::default())).collect();
    let published = Arc::new(Published::new(Arc::new(plans), BTreeMap::new()));
    // Every source falls due within the next seconds.
    let from = start() - TimeDelta::milliseconds(500);
    let clock = Arc::new(Follows { from, at: tokio::time::Instant::now() });
    let (stop, kept) = (CancellationToken::new(), inboxes.clone());
    let timing = Timing { published: Arc::clone(&published), metrics: Arc::clone(&metrics), clock, inboxes };
    let early = async {
        tokio::time::sleep(Duration::from_secs(14)).await;
        let begun = kept.values().filter(|inbox| !inbox.begin().is_empty()).count();
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
