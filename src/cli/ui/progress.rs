//! Shows how far a run is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Ui, json, text};
use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Cancel, Progress};
use crate::cli::signals::Signals;

/// Time between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);
/// Looks between two lines of JSON.
const TICKS_PER_STATUS: u32 = 10;
/// The most that is done while a file is left.
const ALMOST: f64 = 0.999;
/// Looks over which the rate is taken: five seconds.
const SAMPLES_MAX: usize = 50;

/// A thread that looks at the counters of a run until dropped.
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a ticker looks at.
pub(crate) struct Watched {
    pub(crate) ui: Arc<Ui>,
    /// Whether lines of progress may stand between those of the command.
    pub(crate) shows_progress: bool,
    pub(crate) progress: Arc<Progress>,
    pub(crate) problem_count: Arc<AtomicU64>,
    pub(crate) cancel: Cancel,
    pub(crate) signals: Signals,
}

impl Ticker {
    /// Starts to look.
    pub(crate) fn start(watched: Watched) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut view = View::new(&watched);
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                view.tick(&watched);
            }
            view.clear();
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told about, and is no reason to fail the run.
            drop(thread.join());
        }
    }
}

/// How the counters look.
struct View {
    started: Instant,
    samples: VecDeque<(Instant, u64)>,
    bars: Option<[ProgressBar; 2]>,
    was_told_to_stop: bool,
    tick_count: u32,
}

impl View {
    fn new(watched: &Watched) -> Self {
        Self {
            started: Instant::now(),
            samples: VecDeque::new(),
            bars: watched.ui.screen.as_ref().filter(|_| watched.shows_progress).map(bars),
            was_told_to_stop: false,
            tick_count: 0,
        }
    }

    fn tick(&mut self, watched: &Watched) {
        let ui = &watched.ui;
        self.tick_count += 1;
        self.sample(watched.progress.bytes_done.get());
        if watched.signals.take_report() {
            if ui.json {
                ui.err(&json::line(&self.status(watched)));
            } else {
                let current = escape(&watched.progress.current());
                ui.err(&format!("{}  {current}", self.line(watched)));
            }
        }
        if watched.cancel.is_raised() && watched.signals.was_stopped() && !self.was_told_to_stop {
            self.was_told_to_stop = true;
            if !ui.json {
                ui.err(
                    "stopping: what is in flight is finished and kept for the next run; \
                     Ctrl-C again leaves at once",
                );
            }
        }
        if let Some([line, current]) = &self.bars {
            let width = width();
            line.set_message(cut(&self.line(watched), width));
            current.set_message(cut(&escape(&watched.progress.current()), width));
        }
        let tells_status = ui.json && !ui.quiet && watched.shows_progress;
        if tells_status && self.tick_count.is_multiple_of(TICKS_PER_STATUS) {
            // A closed pipe is noticed at the end of the run.
            drop(ui.json(&self.status(watched)).and_then(|()| ui.flush()));
        }
    }

    fn clear(&self) {
        for bar in self.bars.iter().flatten() {
            bar.finish_and_clear();
        }
    }

    fn sample(&mut self, bytes_done: u64) {
        self.samples.push_back((Instant::now(), bytes_done));
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Bytes per second of late.
    fn rate(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((start, first)), Some((end, last))) if end > start => {
                last.saturating_sub(*first) as f64 / (*end - *start).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    fn line(&self, watched: &Watched) -> String {
        let progress = &watched.progress;
        line(&Shown {
            elapsed: self.started.elapsed(),
            files: (progress.files_done.get(), progress.files_total.get()),
            bytes: (progress.bytes_done.get(), progress.bytes_total.get()),
            rate: self.rate(),
            problems: watched.problem_count.load(Ordering::Relaxed),
        })
    }

    fn status(&self, watched: &Watched) -> json::Status {
        let progress = &watched.progress;
        let (done, total) = (progress.bytes_done.get(), progress.bytes_total.get());
        let files = (progress.files_done.get(), progress.files_total.get());
        json::Status {
            message_type: "status",
            seconds_elapsed: self.started.elapsed().as_secs(),
            seconds_remaining: seconds_left(files, (done, total), self.rate()),
            percent_done: if total == 0 { 0.0 } else { share(files, (done, total)) },
            total_files: files.1,
            files_done: files.0,
            total_bytes: total,
            bytes_done: done,
            error_count: watched.problem_count.load(Ordering::Relaxed),
            current_files: json::current(&progress.current()),
        }
    }
}

/// The numbers of one line.
struct Shown {
    elapsed: Duration,
    /// Done, and in total where that is known.
    files: (u64, u64),
    bytes: (u64, u64),
    rate: f64,
    problems: u64,
}

/// `[0:12] 34.5%  12 of 99 files  1.2 GiB of 3.4 GiB  120 MiB/s  0:20 left`.
fn line(shown: &Shown) -> String {
    let (files, files_total) = shown.files;
    let (bytes, bytes_total) = shown.bytes;
    let mut line = format!("[{}]", text::duration(shown.elapsed));
    if bytes_total > 0 {
        let percent = 100.0 * share(shown.files, shown.bytes);
        line.push_str(&format!(" {percent:.1}%"));
    }
    line.push_str(&match files_total {
        0 => format!("  {}", text::count(files, "file")),
        total => format!("  {files} of {}", text::count(total, "file")),
    });
    line.push_str(&match bytes_total {
        0 => format!("  {}", human(bytes)),
        total => format!("  {} of {}", human(bytes), human(total)),
    });
    line.push_str(&format!("  {}/s", human(shown.rate as u64)));
    if let Some(seconds) = seconds_left(shown.files, shown.bytes, shown.rate) {
        line.push_str(&format!("  {} left", text::duration(Duration::from_secs(seconds))));
    }
    if shown.problems > 0 {
        line.push_str(&format!("  {}", text::count(shown.problems, "problem")));
    }
    line
}

/// What is done, of files and bytes with their totals. What was read is not stored yet, so all is done
/// only when the last file is.
fn share((files, files_total): (u64, u64), (bytes, bytes_total): (u64, u64)) -> f64 {
    let most = if files < files_total { ALMOST } else { 1.0 };
    (bytes as f64 / bytes_total as f64).min(most)
}

fn seconds_left(files: (u64, u64), bytes: (u64, u64), rate: f64) -> Option<u64> {
    let (done, total) = bytes;
    // Below a byte a second there is nothing to tell, nor where what is left was read already.
    let is_known = total > 0 && rate >= 1.0 && (done < total || files.0 >= files.1);
    is_known.then(|| (total.saturating_sub(done) as f64 / rate) as u64)
}

/// Columns of a line. Some are left free: a typed `^C` must not wrap, or the display would count
/// its lines wrongly.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(0, |s| s.ws_col);
    usize::from(if columns == 0 { super::COLUMNS as u16 } else { columns })
        .saturating_sub(6)
        .max(20)
}

/// At most `width` columns: the end of a path says more than its start.
fn cut(text: &str, width: usize) -> String {
    if text::width(text) <= width {
        return text.to_owned();
    }
    format!("...{}", text::tail(text, width - 3))
}

fn bars(screen: &MultiProgress) -> [ProgressBar; 2] {
    let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
    // The screen draws; a bar by itself would draw before it is added.
    let bar = || screen.add(ProgressBar::no_length().with_style(style.clone()));
    [bar(), bar()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_keeps_its_end() {
        assert_eq!(cut("/a/b", 20), "/a/b");
        assert_eq!(cut("/home/somebody/some/where", 20), "...mebody/some/where");
        let wide = "\u{4f60}".repeat(11);
        assert_eq!(cut(&wide, 20), format!("...{}", "\u{4f60}".repeat(8)));
    }

    #[test]
    fn a_line_says_what_is_known() {
        let mut shown = Shown {
            elapsed: Duration::from_secs(12),
            files: (1, 0),
            bytes: (1 << 20, 0),
            rate: 0.0,
            problems: 0,
        };
        assert_eq!(line(&shown), "[0:12]  1 file  1.000 MiB  0 B/s");
        shown.files = (12, 99);
        shown.bytes = (1 << 20, 4 << 20);
        shown.rate = f64::from(1 << 20);
        shown.problems = 2;
        assert_eq!(
            line(&shown),
            "[0:12] 25.0%  12 of 99 files  1.000 MiB of 4.000 MiB  1.000 MiB/s  0:03 left  2 problems"
        );
    }
}
