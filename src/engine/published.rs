//! The published state: the plans, the state of each source, when each schedule is due next, and the state of delivery. The
//! engine writes it after a commit; web and metrics only read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::current::Current;
use crate::domain::credential::Credential;
use crate::domain::delivery::DeliveryState;
use crate::domain::name::{Name, Rename};
pub use crate::domain::plan::Plans;
use crate::domain::schedule::ScheduleKey;
use crate::domain::state::{Delta, SourceState};

/// Longest time without a tick: the scheduler ticks each second, or in the worst case every few.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// The state of all sources, and everything else that pages and metrics show.
#[derive(Debug, Default)]
pub struct Present {
    /// Shared, so that a reader can hold one for long without blocking a writer.
    pub states: BTreeMap<Name, Arc<SourceState>>,
    /// When the sessions of a schedule of a source are due next.
    pub next_audits: HashMap<(Name, ScheduleKey), DateTime<Utc>>,
    /// The last tick of the scheduler by the monotonic clock; its start counts as one. `None` before that.
    pub ticked: Option<Instant>,
    /// The last write probe of the store succeeded.
    pub store_sound: bool,
    /// Sources whose last audit could not be recorded.
    pub unrecorded: BTreeSet<Name>,
    /// The state of delivery, as of the last attempt; `None` before it is known.
    pub delivery: Option<DeliveryState>,
    /// The credentials of the configuration and of its servers, with the ends that are known.
    pub credentials: Vec<Credential>,
    /// The last reload, if it was refused: the configuration before it stays in force.
    pub refused_reload: Option<RefusedReload>,
}

/// A configuration that a reload refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    pub at: DateTime<Utc>,
    /// Every problem, as `validate` prints them: without secrets.
    pub problems: String,
}

impl Present {
    /// The state of a source, if it was ever polled.
    pub fn state(&self, source: &Name) -> Option<&SourceState> {
        self.states.get(source).map(|state| &**state)
    }

    /// Whether the scheduler has ticked within the last ten seconds; `None` before it has started.
    pub fn ticking(&self) -> Option<bool> {
        self.ticked.map(|at| at.elapsed() < LONGEST_SILENCE)
    }

    /// The last write of each kind succeeded. A probe that succeeds does not make up for an audit that failed: a full disk may
    /// still take a few bytes.
    pub fn store_works(&self) -> bool {
        self.store_sound && self.unrecorded.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Published {
    plans: Current<Plans>,
    /// The plans that the task of each source has taken up last.
    taken_up: Mutex<BTreeMap<Name, Arc<Plans>>>,
    present: RwLock<Present>,
}

impl Published {
    pub fn new(plans: Arc<Plans>, states: BTreeMap<Name, SourceState>) -> Self {
        let states = states.into_iter().map(|(name, state)| (name, Arc::new(state))).collect();
        let present = Present { states, store_sound: true, ..Present::default() };
        let taken_up = plans.keys().map(|name| (name.clone(), Arc::clone(&plans))).collect();
        Self { plans: Current::new(plans), taken_up: Mutex::new(taken_up), present: RwLock::new(present) }
    }

    /// The configured plans. A reader keeps them while it works with them, also if a reload replaces them.
    pub fn plans(&self) -> Arc<Plans> {
        self.plans.get()
    }

    /// The plans, with what `read` gets of the adapters: both from before a reload or both from after it.
    pub(crate) fn plans_with<T>(&self, read: impl FnOnce() -> T) -> (Arc<Plans>, T) {
        self.plans.get_with(read)
    }

    /// Replaces the plans by those of a reload; `also` replaces the adapters that go with them.
    pub(crate) fn replace_plans(&self, plans: Arc<Plans>, also: impl FnOnce()) {
        self.plans.replace_with(plans, also);
    }

    /// Moves the state of a source to its new name.
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

    /// The state of a source, for long computations. Drop it before [`Published::apply`], which otherwise copies the state.
    pub fn state(&self, source: &Name) -> Arc<SourceState> {
        self.read(|present| present.states.get(source).map(Arc::clone)).unwrap_or_default()
    }

    /// Whether a source was ever polled.
    pub fn knows(&self, source: &Name) -> bool {
        self.read(|present| present.states.contains_key(source))
    }

    /// Reads the present. Writers are blocked meanwhile, so `read` must not wait.
    pub fn read<T>(&self, read: impl FnOnce(&Present) -> T) -> T {
        read(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Present) -> T) -> T {
        write(&mut self.present.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The plans that the task of a source has taken up last: those before a reload, until it has taken up what that brought.
    /// None where the source had no plan.
    pub(crate) fn taken_up(&self, source: &Name) -> Option<Arc<Plans>> {
        self.all_taken_up().get(source).map(Arc::clone)
    }

    fn all_taken_up(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Plans>>> {
        self.taken_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everything that is known of a source judged by `plans`.
    pub(crate) fn plan_changed(&self, source: &Name, plans: Arc<Plans>) {
        if plans.contains_key(source) {
            self.all_taken_up().insert(source.clone(), plans);
        } else {
            self.all_taken_up().remove(source);
        }
        self.write(|present| {
            if let Some(state) = present.states.get_mut(source) {
                Arc::make_mut(state).plan_changed();
            }
        });
    }

    /// Applies a committed delta.
    pub(crate) fn apply(&self, source: &Name, delta: Delta) {
        self.write(|present| Arc::make_mut(present.states.entry(source.clone()).or_default()).apply(delta));
    }
}
