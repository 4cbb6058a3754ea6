//! Does something to a file at the moment at which this process opens or reads it, for tests.
//!
//! What a kernel does with fanotify (`tests/support/meddle.py`), without its privileges.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::{Errno, Result};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The file is opened.
    Open,
    /// It is read past this byte.
    Read(u64),
}

/// Done each time; its error is what the system is to answer.
type Deed = Box<dyn FnMut() -> Result<()> + Send>;

struct Watch {
    path: Vec<u8>,
    moment: Moment,
    deed: Deed,
}

/// All that is waited for in this process; tests have paths of their own.
static WATCHES: Mutex<Vec<Watch>> = Mutex::new(Vec::new());

/// Waits for a file until it is dropped.
#[derive(Debug)]
pub(crate) struct Meddler(Vec<u8>);

impl Meddler {
    /// Does `deed` whenever `moment` comes for the file `path`.
    pub(crate) fn start(
        path: &Path,
        moment: Moment,
        deed: impl FnMut() -> Result<()> + Send + 'static,
    ) -> Self {
        let path = path.as_os_str().as_bytes().to_vec();
        watches().push(Watch { path: path.clone(), moment, deed: Box::new(deed) });
        Self(path)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        watches().retain(|watch| watch.path != self.0);
    }
}

/// Tells that a file is about to be opened, and returns what the system answers.
pub(super) fn opens(path: &[u8]) -> Result<()> {
    meet(path, |moment| moment == Moment::Open)
}

/// The same for a read of `len` bytes from `offset` on.
pub(super) fn reads(path: &[u8], offset: u64, len: usize) -> Result<()> {
    let end = offset.saturating_add(len as u64);
    meet(path, |moment| matches!(moment, Moment::Read(from) if end > from))
}

fn meet(path: &[u8], is_met: impl Fn(Moment) -> bool) -> Result<()> {
    let mut watches = watches();
    let mut met = watches.iter_mut().filter(|watch| watch.path == path && is_met(watch.moment));
    met.try_for_each(|watch| (watch.deed)())
}

fn watches() -> MutexGuard<'static, Vec<Watch>> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of a test's own file operation as the answer of the system.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
