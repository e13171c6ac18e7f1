//! Supervises the tasks of the program: a task that ends early ends the program with a failure, and a shutdown stops all tasks
//! within a bound.
//!
//! A shutdown cancels the token, and every task finishes its present work. After [`DRAIN`] the supervisor drops the tasks that
//! still run. Everything recorded is in the store, so this loses nothing.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

pub mod systemd;

/// Longest time for tasks to finish their present work after a shutdown.
pub const DRAIN: Duration = Duration::from_secs(7);

/// Why the program ended without a shutdown.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("the task {task} stopped unexpectedly")]
    Ended { task: &'static str },
    #[error("the task {task} failed: {reason}")]
    Failed { task: &'static str, reason: String },
    #[error("the task {task} panicked")]
    Panicked { task: &'static str },
}

/// See the module.
pub struct Supervisor {
    tasks: JoinSet<Result<(), String>>,
    tasks_by_id: HashMap<Id, SupervisedTask>,
    shutdown: CancellationToken,
    starter: Starter,
    starting: mpsc::UnboundedReceiver<Starting>,
}

/// The properties of a task.
#[derive(Debug, Clone, Copy)]
struct SupervisedTask {
    name: &'static str,
    /// It may end while the program runs.
    may_end: bool,
}

type Task = BoxFuture<'static, Result<(), String>>;
type Starting = (&'static str, Task);

/// Starts tasks while the program runs.
#[derive(Debug, Clone)]
pub struct Starter(mpsc::UnboundedSender<Starting>);

impl Starter {
    /// Starts a task that may end while the program runs. Its failure ends the program.
    pub fn start(&self, name: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        // Without a supervisor the program is stopping.
        let _ = self.0.send((name, Box::pin(task)));
    }
}

impl Supervisor {
    /// Cancelling `shutdown` asks the tasks to stop.
    pub fn new(shutdown: CancellationToken) -> Self {
        let (sender, starting) = mpsc::unbounded_channel();
        Self { tasks: JoinSet::new(), tasks_by_id: HashMap::new(), shutdown, starter: Starter(sender), starting }
    }

    /// Starts tasks while the program runs.
    pub fn starter(&self) -> Starter {
        self.starter.clone()
    }

    /// Starts a task that runs until the shutdown token is cancelled.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        self.spawn(SupervisedTask { name, may_end: false }, task);
    }

    fn spawn(&mut self, named: SupervisedTask, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.tasks_by_id.insert(handle.id(), named);
    }

    /// Waits for the shutdown token or for the first task that ends by itself, then drains the others.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let outcome = loop {
            // The shutdown first: a task that has already noticed it has not ended early.
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break Ok(()),
                Some((name, task)) = self.starting.recv() => self.spawn(SupervisedTask { name, may_end: true }, task),
                Some(ended) = self.tasks.join_next_with_id() => {
                    if !self.may_end(&ended) {
                        break Err(self.early(ended));
                    }
                }
            }
        };
        self.shutdown.cancel();
        if tokio::time::timeout(DRAIN, self.drain()).await.is_err() {
            tracing::warn!("some tasks did not finish in time and were dropped; recorded state is safe");
            self.tasks.shutdown().await;
        }
        outcome
    }

    async fn drain(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if !matches!(ended, Ok((_, Ok(())))) {
                let error = self.early(ended);
                tracing::warn!(%error, "a task failed while stopping");
            }
        }
    }

    fn may_end(&mut self, ended: &Result<(Id, Result<(), String>), tokio::task::JoinError>) -> bool {
        match ended {
            Ok((id, Ok(()))) if self.tasks_by_id.get(id).is_some_and(|task| task.may_end) => {
                self.tasks_by_id.remove(id).is_some()
            }
            _ => false,
        }
    }

    fn early(&self, ended: Result<(Id, Result<(), String>), tokio::task::JoinError>) -> TaskError {
        let name = |id: Id| self.tasks_by_id.get(&id).map_or("unknown", |task| task.name);
        match ended {
            Ok((id, Ok(()))) => TaskError::Ended { task: name(id) },
            Ok((id, Err(reason))) => TaskError::Failed { task: name(id), reason },
            Err(e) => TaskError::Panicked { task: name(e.id()) },
        }
    }
}

/// Raises the limit on file descriptors of this process to the hard limit. Returns the new limit, if the operating system
/// reports it. The low soft limit exists for programs that use `select`; this one does not.
pub fn raise_descriptor_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => {
            tracing::debug!(before = soft, now = hard, "raised the limit on file descriptors");
            Some(hard)
        }
        Err(error) => {
            tracing::debug!(limit = soft, %error, "cannot raise the limit on file descriptors");
            Some(soft)
        }
    }
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT, and calls `reload` at each SIGHUP.
pub fn heed_signals(
    shutdown: &CancellationToken,
    reload: impl Fn() + Send + 'static,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let shutdown = shutdown.clone();
    Ok(async move {
        let name = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                Some(()) = hangup.recv() => reload(),
            }
        };
        tracing::info!(signal = name, "asked to stop");
        shutdown.cancel();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_is_a_failure_and_stops_the_others() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let other = shutdown.clone();
        supervisor.start("patient", async move {
            other.cancelled().await;
            Ok(())
        });
        supervisor.start("hasty", async { Ok(()) });
        assert!(matches!(supervisor.run().await, Err(TaskError::Ended { task: "hasty" })));
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_is_named_and_a_failure() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.start("clumsy", async { panic!("dropped a plate") });
        assert!(matches!(supervisor.run().await, Err(TaskError::Panicked { task: "clumsy" })));
    }

    #[tokio::test]
    async fn tasks_that_stop_before_the_supervisor_polls_have_not_ended_early() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.start("quick", std::future::ready(Ok(())));
        shutdown.cancel();
        assert!(supervisor.run().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_shutdown_is_not_a_failure_even_if_a_task_ignores_it() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.start("deaf", std::future::pending());
        shutdown.cancel();
        assert!(supervisor.run().await.is_ok());
    }
}
