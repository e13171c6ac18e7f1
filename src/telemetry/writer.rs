//! Writes log lines, and counts those that the disk or pipe refuses.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use super::queue::QueueEntry;

/// Pause before the next write to a file that is not ready (`EAGAIN`, from a pipe or terminal that another program made
/// non-blocking).
const NOT_READY: Duration = Duration::from_millis(20);

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Cut {
    /// Bytes written before the failure.
    pub written: usize,
    #[source]
    pub cause: io::Error,
}

/// Writes all of `bytes`, waiting while `out` is not ready.
///
/// # Errors
/// Any other error of `out`, with the number of bytes written before.
pub fn write_whole(out: &mut impl Write, bytes: &[u8]) -> Result<(), Cut> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err(Cut { written, cause: ErrorKind::WriteZero.into() }),
            Ok(more) => written += more,
            Err(e) if is_passing(&e) => {}
            Err(cause) => return Err(Cut { written, cause }),
        }
    }
    loop {
        match out.flush() {
            Ok(()) => return Ok(()),
            Err(e) if is_passing(&e) => {}
            Err(cause) => return Err(Cut { written, cause }),
        }
    }
}

/// Whether the same write can succeed now. Pauses if `out` is not ready.
fn is_passing(error: &io::Error) -> bool {
    if error.kind() == ErrorKind::WouldBlock {
        std::thread::sleep(NOT_READY);
        return true;
    }
    error.kind() == ErrorKind::Interrupted
}

/// See the module.
pub(super) struct Writer<W, N> {
    out: W,
    /// Makes the line that reports lost lines.
    notice: N,
    /// Lines lost since the last report.
    lost: u64,
    /// The last line was written in part.
    torn: bool,
}

impl<W: Write, N: Fn(u64) -> String> Writer<W, N> {
    pub fn new(out: W, notice: N) -> Self {
        Self { out, notice, lost: 0, torn: false }
    }

    /// Writes an entry, after a report of the lines lost before it. Returns the number of lines lost here.
    pub fn write(&mut self, entry: &QueueEntry) -> u64 {
        match entry {
            QueueEntry::Gap(lines) => {
                self.lost += lines;
                self.report();
                0
            }
            QueueEntry::Line(line) if self.report() && self.put(line) => 0,
            QueueEntry::Line(_) => {
                self.lost += 1;
                1
            }
        }
    }

    /// Whether nothing is left to report.
    fn report(&mut self) -> bool {
        if self.lost > 0 && self.put((self.notice)(self.lost).as_bytes()) {
            self.lost = 0;
        }
        self.lost == 0
    }

    fn put(&mut self, line: &[u8]) -> bool {
        if self.torn {
            self.torn = write_whole(&mut self.out, b"\n").is_err();
        }
        if self.torn {
            return false;
        }
        let written = write_whole(&mut self.out, line);
        self.torn = written.as_ref().is_err_and(|cut| cut.written > 0);
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Accepts as many bytes of each write as the script says, or fails; after the script, accepts everything.
    #[derive(Default)]
    struct Script {
        answers: VecDeque<Result<usize, ErrorKind>>,
        text: String,
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.answers.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.text.push_str(std::str::from_utf8(&bytes[..taken]).unwrap());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The text written of three lines, and the number of lost lines.
    fn written(answers: &[Result<usize, ErrorKind>]) -> (String, u64) {
        let out = Script { answers: answers.iter().copied().collect(), text: String::new() };
        let mut writer = Writer::new(out, |lines| format!("lost {lines}\n"));
        let lines = ["a\n", "bb\n", "ccc\n"].map(|line| QueueEntry::Line(line.into()));
        let lost = lines.iter().map(|line| writer.write(line)).sum();
        (writer.out.text, lost)
    }

    #[test]
    fn lost_lines_are_reported_when_the_log_works_again() {
        use ErrorKind::{BrokenPipe, Interrupted, StorageFull, WouldBlock};
        for (answers, text, lost) in [
            (&[][..], "a\nbb\nccc\n", 0),
            (&[Err(WouldBlock), Ok(1), Err(Interrupted), Err(WouldBlock)], "a\nbb\nccc\n", 0),
            (&[Err(StorageFull)], "lost 1\nbb\nccc\n", 1),
            (&[Err(StorageFull), Err(StorageFull)], "lost 2\nccc\n", 2),
            (&[Err(BrokenPipe), Err(BrokenPipe), Err(BrokenPipe)], "", 3),
            // A line that was cut does not run into the next one.
            (&[Ok(2), Ok(1), Err(StorageFull)], "a\nb\nlost 1\nccc\n", 1),
            (&[Ok(1), Err(StorageFull), Err(StorageFull)], "a\nlost 2\nccc\n", 2),
            // The report itself fails, or is cut.
            (&[Err(StorageFull), Ok(3), Err(StorageFull)], "los\nlost 2\nccc\n", 2),
        ] {
            assert_eq!(written(answers), (text.to_owned(), lost), "{answers:?}");
        }
    }

    #[test]
    fn a_gap_in_the_queue_is_reported_with_the_lines_that_failed() {
        let out = Script { answers: [Err(ErrorKind::StorageFull)].into(), text: String::new() };
        let mut writer = Writer::new(out, |lines| format!("lost {lines}\n"));
        let lost = [QueueEntry::Line(b"a\n".to_vec()), QueueEntry::Gap(4)]
            .iter()
            .map(|entry| writer.write(entry))
            .sum::<u64>();
        assert_eq!((writer.out.text.as_str(), lost), ("lost 5\n", 1));
    }
}
