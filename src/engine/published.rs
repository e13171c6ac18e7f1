//! The present, shared: what is configured, what is known, and when each source is polled next. The engine writes it after
//! a commit; web and metrics only read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::current::Current;
use crate::domain::delivery::DeliveryState;
use crate::domain::name::{Name, Rename};
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
    /// The state of delivery, as of the last attempt; `None` before it is known.
    pub delivery: Option<DeliveryState>,
    /// The last reload, where it was refused: the configuration before it still holds.
    pub refused_reload: Option<RefusedReload>,
}

/// A configuration that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    pub at: DateTime<Utc>,
    /// Every problem, as `validate` prints them: without secrets.
    pub problems: String,
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
    plans: Current<Plans>,
    present: RwLock<Present>,
}

impl Published {
    pub fn new(plans: Arc<Plans>, states: BTreeMap<Name, SourceState>) -> Self {
        let states = states.into_iter().map(|(name, state)| (name, Arc::new(state))).collect();
        let present = Present { states, store_sound: true, ..Present::default() };
        Self { plans: Current::new(plans), present: RwLock::new(present) }
    }

    /// What is configured. What works with it for a while keeps its own, also while a reload replaces it.
    pub fn plans(&self) -> Arc<Plans> {
        self.plans.get()
    }

    /// The plans, with what `read` gets of the adapters: both from before a reload or both from after it.
    pub(crate) fn plans_with<T>(&self, read: impl FnOnce() -> T) -> (Arc<Plans>, T) {
        self.plans.get_with(read)
    }

    /// What a reload has read; `also` replaces the adapters that go with the plans.
    pub(crate) fn replace_plans(&self, plans: Arc<Plans>, also: impl FnOnce()) {
        self.plans.replace_with(plans, also);
    }

    /// What is known of a source goes on under another name.
    pub(crate) fn rename(&self, rename: &Rename) {
        self.write(|present| {
            if let Some(mut state) = present.states.remove(&rename.from) {
                Arc::make_mut(&mut state).rename(&rename.to);
                present.states.insert(rename.to.clone(), state);
            }
            if present.unrecorded.remove(&rename.from) {
                present.unrecorded.insert(rename.to.clone());
            }
        });
    }

    /// What is known of a source, to be reckoned with at leisure. Let go of it before [`Published::apply`], which would have to
    /// copy it otherwise.
    pub fn state(&self, source: &Name) -> Arc<SourceState> {
        self.read(|present| present.states.get(source).map(Arc::clone)).unwrap_or_default()
    }

    /// Whether anything is known of a source.
    pub fn knows(&self, source: &Name) -> bool {
        self.read(|present| present.states.contains_key(source))
    }

    /// Reads the present. Nothing else is written meanwhile, so do not wait for anything inside.
    pub fn read<T>(&self, read: impl FnOnce(&Present) -> T) -> T {
        read(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Present) -> T) -> T {
        write(&mut self.present.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has everything that is known of a source judged by the plan as it is now.
    pub(crate) fn plan_changed(&self, source: &Name) {
        self.write(|present| {
            if let Some(state) = present.states.get_mut(source) {
                Arc::make_mut(state).plan_changed();
            }
        });
    }

    /// Makes what was committed the present.
    pub(crate) fn apply(&self, source: &Name, delta: Delta) {
        self.write(|present| Arc::make_mut(present.states.entry(source.clone()).or_default()).apply(delta));
    }
}
