//! The present, shared: what is configured, what is known, and when each source is polled next. The engine writes it after
//! a commit; web and metrics only read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::domain::name::Name;
use crate::domain::plan::SourcePlan;
use crate::domain::schedule::ScheduleKey;
use crate::domain::state::{Delta, SourceState};

/// The plans of all sources.
pub type Plans = BTreeMap<Name, SourcePlan>;

/// Longest that a scheduler that ticks may be silent: it ticks each second, or in the worst case every few.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// What is known of all sources, with when they are next polled.
#[derive(Debug, Default)]
pub struct Present {
    /// Shared, so that a long reckoning can hold one without holding up whoever wants to write.
    pub states: BTreeMap<Name, Arc<SourceState>>,
    /// When the sessions of a schedule of a source are due next.
    pub next_audits: HashMap<(Name, ScheduleKey), DateTime<Utc>>,
    /// The last tick of the scheduler by the monotonic clock; its start counts as one. `None` before that.
    pub ticked: Option<Instant>,
    /// The store takes what is written, as far as the last probe saw.
    pub store_sound: bool,
    /// Sources whose last audit could not be recorded.
    pub unrecorded: BTreeSet<Name>,
}

impl Present {
    /// What is known of a source, if anything is.
    pub fn state(&self, source: &Name) -> Option<&SourceState> {
        self.states.get(source).map(|state| &**state)
    }

    /// Whether the scheduler has ticked within the last ten seconds; `None` before it has started.
    pub fn ticking(&self) -> Option<bool> {
        self.ticked.map(|at| at.elapsed() < LONGEST_SILENCE)
    }

    /// Nothing that was tried last failed at the store. A probe that succeeds does not make up for an audit that is not
    /// recorded: on a full disk a few bytes may still find room.
    pub fn store_works(&self) -> bool {
        self.store_sound && self.unrecorded.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Published {
    plans: Arc<Plans>,
    present: RwLock<Present>,
}

impl Published {
    pub fn new(plans: Arc<Plans>, states: BTreeMap<Name, SourceState>) -> Self {
        let states = states.into_iter().map(|(name, state)| (name, Arc::new(state))).collect();
        let present = Present { states, store_sound: true, ..Present::default() };
        Self { plans, present: RwLock::new(present) }
    }

    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What is known of a source, to be reckoned with at leisure. Let go of it before [`Published::apply`], which would have to
    /// copy it otherwise.
    pub fn state(&self, source: &Name) -> Arc<SourceState> {
        self.read(|present| present.states.get(source).map(Arc::clone)).unwrap_or_default()
    }

    /// Reads the present. Nothing else is written meanwhile, so do not wait for anything inside.
    pub fn read<T>(&self, read: impl FnOnce(&Present) -> T) -> T {
        read(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Present) -> T) -> T {
        write(&mut self.present.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes what was committed the present.
    pub(crate) fn apply(&self, source: &Name, delta: Delta) {
        self.write(|present| Arc::make_mut(present.states.entry(source.clone()).or_default()).apply(delta));
    }
}
