//! Does what need not be done at once: rayon, or whoever asks.

/// Takes jobs that split, hash, compress and seal.
#[derive(Clone, Copy)]
pub(super) enum Workers<'p, 's> {
    /// All cores.
    Pool(&'p rayon::Scope<'s>),
    /// The thread that asks, before it goes on.
    Same,
}

impl<'s> Workers<'_, 's> {
    /// Has a job done.
    pub(super) fn spawn(&self, job: impl FnOnce() + Send + 's) {
        match self {
            Self::Pool(scope) => scope.spawn(|_| job()),
            Self::Same => job(),
        }
    }
}
