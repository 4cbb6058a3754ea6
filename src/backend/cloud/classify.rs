//! What an error of `object_store` means to a caller.

use object_store::client::HttpError;

use crate::backend::error::{At, BackendError, Cause, What};
use crate::backend::verb::Verb;

/// Finds out what a caller can act on.
pub(super) fn classify(at: At, error: object_store::Error) -> BackendError {
    use object_store::Error as E;
    let is_object = matches!(at.what, What::Object(_));
    let is_put_or_heal = matches!(at.verb, Verb::Put | Verb::Heal);
    let at = Box::new(at);
    match error {
        E::NotFound { source, .. }
            if is_object && !is_put_or_heal && !is_bucket_missing(source.as_ref()) =>
        {
            BackendError::NotFound { at }
        }
        E::NotFound { source, .. } => no_bucket(at, source),
        E::PermissionDenied { source, .. } | E::Unauthenticated { source, .. } => {
            match is_full(source.as_ref()) {
                true => BackendError::Full { at, source: Some(source) },
                false => BackendError::Access { at, source: Some(source) },
            }
        }
        error @ (E::NotSupported { .. } | E::NotImplemented { .. }) => {
            unsupported(at, error.into())
        }
        E::InvalidPath { source } => BackendError::Unsupported {
            at,
            why: "a stranger's key among the objects cannot be listed; remove it".to_owned(),
            source: Some(source.into()),
        },
        E::Generic { source, .. } => generic(at, source),
        error => BackendError::Other { at, source: Some(error.into()) },
    }
}

fn generic(at: Box<At>, source: Cause) -> BackendError {
    if is_full(source.as_ref()) {
        return BackendError::Full { at, source: Some(source) };
    }
    match status_of(source.as_ref()) {
        Some(401 | 403) => BackendError::Access { at, source: Some(source) },
        Some(404) => no_bucket(at, source),
        Some(408 | 429 | 500 | 502..=504) => BackendError::Offline { at, source: Some(source) },
        Some(405 | 501) => unsupported(at, source),
        Some(_) => BackendError::Other { at, source: Some(source) },
        None if is_lost(source.as_ref()) => {
            BackendError::Offline { at, source: Some(innermost(source.as_ref())) }
        }
        None => BackendError::Other { at, source: Some(source) },
    }
}

fn no_bucket(at: Box<At>, source: Cause) -> BackendError {
    let why = "there is no such bucket or container".to_owned();
    BackendError::NoRepository { at, why, source: Some(source) }
}

fn unsupported(at: Box<At>, source: Cause) -> BackendError {
    let why = "the server does not know this request".to_owned();
    BackendError::Unsupported { at, why, source: Some(source) }
}

/// An error with everything below it.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The HTTP status of the last attempt. `object_store` keeps the type that knows it to itself, so
/// this reads its words; a test with a real connection would notice other words.
fn status_of(error: &(dyn std::error::Error + 'static)) -> Option<u16> {
    chain(error).find_map(|error| {
        let text = error.to_string();
        let (_, after) = text.split_once("non-2xx status code: ")?;
        after.get(..3)?.parse().ok()
    })
}

/// Whether the server said that no space or quota is left: 507, or the codes of MinIO and Ceph.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    if status_of(error) == Some(507) {
        return true;
    }
    chain(error).any(|error| {
        let text = error.to_string();
        ["XMinioStorageFull", "<Code>QuotaExceeded<"].iter().any(|code| text.contains(code))
    })
}

/// The last of a chain of causes, whose every link repeats the request and the links behind it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> Cause {
    chain(error).last().map_or_else(String::new, ToString::to_string).into()
}

/// Whether the connection was not made, was lost, or gave no sense.
fn is_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|error| error.is::<HttpError>())
}

/// Whether the bucket or container is missing and not the object.
fn is_bucket_missing(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|error| {
        let text = error.to_string();
        ["<Code>NoSuchBucket<", "<Code>ContainerNotFound<"].iter().any(|code| text.contains(code))
    })
}
