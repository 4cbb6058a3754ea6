//! What a run reads: directory trees, or one stream.

use super::Options;
use crate::base::Result;
use crate::format::snapshot::PathBytes;
use crate::ops::Run;
use crate::source::{Roots, Stream};

/// What is read.
pub(super) enum Source<'a> {
    Trees(Roots),
    Stream(&'a Stream),
}

impl<'a> Source<'a> {
    /// Finds what the options name. Paths that cannot be found beside others are problems.
    ///
    /// # Errors
    /// When nothing can be found.
    pub(super) fn find(options: &'a Options, run: &Run<'_>) -> Result<Self> {
        if let Some(stream) = &options.stream {
            return Ok(Self::Stream(stream));
        }
        let roots = Roots::find(&options.sources, &options.cwd)?;
        run.problems.extend(roots.problems.iter().map(|problem| problem.clone().into()));
        Ok(Self::Trees(roots))
    }

    /// The kind of its component.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Trees(_) => "files",
            Self::Stream(stream) => stream.kind(),
        }
    }

    /// The absolute paths that it has in the snapshot.
    pub(super) fn paths(&self) -> Vec<PathBytes> {
        match self {
            Self::Trees(roots) => roots.paths.iter().cloned().map(PathBytes).collect(),
            Self::Stream(stream) => vec![PathBytes(stream.path().to_bytes())],
        }
    }

    /// File systems of directory trees.
    pub(super) fn devices(&self) -> &[u64] {
        match self {
            Self::Trees(roots) => &roots.devices,
            Self::Stream(_) => &[],
        }
    }

    /// Problems that were reported when it was found.
    pub(super) fn problem_count(&self) -> u64 {
        match self {
            Self::Trees(roots) => roots.problems.len() as u64,
            Self::Stream(_) => 0,
        }
    }
}
