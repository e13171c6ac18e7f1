//! Makes one tick each second, with one job of the cron crate. No other file uses that crate.
//!
//! tokio-cron-scheduler lets runs of a job overlap, freezes the offset of a zone when a job is made, and loses jobs that are
//! added at the same time. So it has one job in UTC that never waits; due times come from `domain::timetable`, which
//! computes each with croner. At most one tick waits to be taken.
//!
//! The crate keeps the next run of a job as a wall clock time, so a clock that is set back silences the job. Therefore the
//! ticker watches the job by the monotonic clock: when a tick is overdue, it registers the job again and counts the overdue tick
//! as made. So ticks continue while the wall clock jumps or stands still.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use uuid::Uuid;

/// Every second.
const EVERY_SECOND: &str = "* * * * * *";

/// Longest wait for a tick. The crate checks the clock twice a second, so ticks are up to one and a half seconds apart.
const OVERDUE: Duration = Duration::from_millis(2_500);

/// Longest wait for the crate to remove or add a job. It replies over internal channels, and a lost reply must not stop the
/// ticks.
const REPLY: Duration = Duration::from_secs(1);

/// Why the ticks cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler failed")]
pub struct SchedulerError(#[from] JobSchedulerError);

/// A running source of ticks.
pub struct Ticker {
    scheduler: JobScheduler,
    job: Option<Uuid>,
    made: mpsc::Sender<()>,
    ticks: mpsc::Receiver<()>,
    last: Instant,
    /// The last tick was overdue, and that is in the log.
    overdue: bool,
}

impl Ticker {
    /// Starts ticking.
    pub async fn start() -> Result<Self, SchedulerError> {
        let scheduler = JobScheduler::new().await?;
        // Capacity for one: if the channel is full, the waiting tick stands for both.
        let (made, ticks) = mpsc::channel(1);
        let job = Some(scheduler.add(job(made.clone())?).await?);
        scheduler.start().await?;
        Ok(Self { scheduler, job, made, ticks, last: Instant::now(), overdue: false })
    }

    /// Waits for the next tick: at most [`OVERDUE`] after the last one, also if the wall clock jumps. Cancel safe.
    pub async fn tick(&mut self) {
        // A tick that was made is not overdue, even if it is taken late, so it comes first.
        let came = tokio::select! {
            biased;
            came = self.ticks.recv() => came.is_some(),
            () = sleep_until(self.last + OVERDUE) => false,
        };
        if came {
            self.overdue = false;
        } else {
            self.register_again().await;
        }
        self.last = Instant::now();
    }

    /// Ends the job.
    pub async fn stop(mut self) -> Result<(), SchedulerError> {
        Ok(self.scheduler.shutdown().await?)
    }

    /// Replaces the job with one whose next run counts from now.
    async fn register_again(&mut self) {
        if !std::mem::replace(&mut self.overdue, true) {
            tracing::warn!(
                "scheduler tick overdue: the clock was set back, or the process was suspended; registered again"
            );
        }
        if let Some(job) = self.job.take() {
            // Fails for a job that the crate has already dropped, which does not matter.
            let _ = timeout(REPLY, self.scheduler.remove(&job)).await;
        }
        let added = match job(self.made.clone()) {
            Ok(job) => timeout(REPLY, self.scheduler.add(job)).await,
            Err(error) => Ok(Err(error)),
        };
        match added {
            Ok(Ok(job)) => self.job = Some(job),
            // Overdue ticks continue without it, and each registers it again.
            Ok(Err(error)) => tracing::debug!(%error, "failed to register the scheduler job"),
            Err(_) => tracing::debug!("the scheduler did not confirm its job in time"),
        }
    }
}

/// The job that makes ticks.
fn job(made: mpsc::Sender<()>) -> Result<Job, JobSchedulerError> {
    Job::new_async(EVERY_SECOND, move |_, _| {
        let _ = made.try_send(());
        Box::pin(std::future::ready(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a paused runtime the monotonic clock runs ahead of the wall clock. For the cron crate the clock stands still, so none
    /// of its jobs is ever due.
    #[tokio::test(start_paused = true)]
    async fn ticks_come_by_the_monotonic_clock_while_the_wall_clock_stands_still() {
        let mut ticker = Ticker::start().await.unwrap();
        for _ in 0..100 {
            let before = Instant::now();
            ticker.tick().await;
            let gap = before.elapsed();
            assert!(gap <= OVERDUE + 2 * REPLY, "{gap:?}");
        }
        ticker.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_job_that_is_lost_is_registered_again_and_ticks_each_second() {
        let mut ticker = Ticker::start().await.unwrap();
        let lost = ticker.job.unwrap();
        ticker.scheduler.remove(&lost).await.unwrap();
        while !ticker.overdue {
            ticker.tick().await;
        }
        assert!(ticker.job.is_some_and(|job| job != lost));
        ticker.tick().await;
        assert!(!ticker.overdue, "the new job made this tick");
        ticker.stop().await.unwrap();
    }
}
