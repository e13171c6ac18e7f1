//! The only file that names the cron crate: one job, once a second, that sends a tick.
//!
//! tokio-cron-scheduler lets runs of a job overlap, freezes a zone's offset when a job is made and loses jobs that are added
//! at the same time. So it has one job in UTC that never waits; due times come from `domain::timetable`, which asks croner anew
//! each time. A tick that nobody has taken yet is not sent twice.

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// Every second.
const EVERY_SECOND: &str = "* * * * * *";

/// Why the ticks cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler failed")]
pub struct SchedulerError(#[from] JobSchedulerError);

/// A running source of ticks.
pub struct Ticker {
    scheduler: JobScheduler,
}

impl Ticker {
    /// Starts ticking into `ticks`, which should have room for one.
    pub async fn start(ticks: mpsc::Sender<()>) -> Result<Self, SchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let job = Job::new_async(EVERY_SECOND, move |_, _| {
            // Full means that the last tick is still waiting to be taken; it will do for both.
            let _ = ticks.try_send(());
            Box::pin(std::future::ready(()))
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    pub async fn stop(mut self) -> Result<(), SchedulerError> {
        Ok(self.scheduler.shutdown().await?)
    }
}
