//! Objects in buckets and containers, through `object_store`.
//!
//! One PUT an object and never a multipart upload, whose completion overwrites and whose
//! abandoned parts cost money. No request has a total time-out, because 128 MiB take as long as
//! the line takes; what stalls is given up.

mod classify;
mod open;
mod patient;

use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use super::error::{At, BackendError};
use super::location::Location;
use super::verb::Verb;
use super::{Backend, Junk, Listed, Put};
use super::{check_heal, check_len, check_range};
use crate::base::Timestamp;
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

use classify::classify;
pub(super) use open::{open_azure, open_gcs, open_s3};

/// Threads of the runtime. They only move bytes between sockets and buffers.
const WORKER_COUNT: usize = 2;

/// A bucket, or a part of one.
pub struct Cloud {
    location: Location,
    clients: Clients,
    prefix: Path,
}

/// Two clients of one store.
#[derive(Clone)]
struct Clients {
    /// Repeats what fails in passing.
    patient: Arc<dyn ObjectStore>,
    /// Asks once. A pack that was doomed and deleted must not come back under its name, however long
    /// this machine sleeps between two attempts (`docs/protocol.md`).
    once: Arc<dyn ObjectStore>,
}

/// One runtime for the process, made when the first request is.
static RUNTIME: LazyLock<Result<tokio::runtime::Runtime, String>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_COUNT)
        .thread_name("parados-net")
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
});

impl Cloud {
    /// The part of a store below `prefix`.
    fn new(location: &Location, clients: Clients, prefix: &str) -> Result<Arc<Self>, BackendError> {
        let prefix =
            Path::parse(prefix).map_err(|e| open::misconfigured(location, &e.to_string()))?;
        Ok(Arc::new(Self { location: location.clone(), clients, prefix }))
    }

    /// Waits for a request. Callers are plain threads; inside a runtime this would panic.
    fn wait<T>(
        &self,
        at: &At,
        request: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        match &*RUNTIME {
            Ok(runtime) => runtime.block_on(request),
            Err(error) => Err(BackendError::Other {
                at: Box::new(at.clone()),
                source: Some(format!("could not start network threads: {error}").into()),
            }),
        }
    }

    fn at(&self, verb: Verb, name: &ObjectName) -> At {
        At::object(&self.location, verb, name)
    }

    fn path(&self, name: &ObjectName) -> Path {
        let text = match self.prefix.as_ref() {
            "" => name.as_str().to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Path::parse(text).expect("a prefix and an object name make a path")
    }

    /// The name below the prefix, if the key is below the prefix.
    fn name_of<'a>(&self, path: &'a Path) -> Option<&'a str> {
        match self.prefix.as_ref() {
            "" => Some(path.as_ref()),
            prefix => path.as_ref().strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    fn put_with(
        &self,
        at: At,
        name: &ObjectName,
        sealed: &Sealed,
        mode: PutMode,
    ) -> Result<Put, BackendError> {
        check_len(&at, sealed.len())?;
        let payload = PutPayload::from_bytes(sealed.bytes().clone());
        let options = PutOptions { mode, ..PutOptions::default() };
        let store = match name.kind() {
            ObjectKind::Pack => &self.clients.once,
            _ => &self.clients.patient,
        };
        self.wait(&at, async {
            match store.put_opts(&self.path(name), payload, options).await {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
                Err(error) => Err(classify(at.clone(), error)),
            }
        })
    }

    async fn read(
        &self,
        at: &At,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Sealed, BackendError> {
        let options =
            GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let result = match self.clients.patient.get_opts(&self.path(name), options).await {
            Ok(result) => result,
            Err(error) => return Err(classify(at.clone(), error)),
        };
        if let Some(range) = &range {
            // A range that ends beyond the object is cut silently.
            check_range(at, range, result.meta.size)?;
        }
        let expect = range.unwrap_or(0..result.meta.size);
        let len = expect.end - expect.start;
        check_len(at, len)?;
        if result.range != expect {
            return Err(short(at, len, result.range.end - result.range.start));
        }
        let mut stream = result.into_stream();
        let mut parts = Vec::new();
        let mut received = 0;
        while let Some(part) = stream.next().await {
            let part = part.map_err(|e| classify(at.clone(), e))?;
            received += part.len() as u64;
            if received > len {
                return Err(short(at, len, received));
            }
            parts.push(part);
        }
        if received != len {
            return Err(short(at, len, received));
        }
        Ok(Sealed::from_store(join(parts, len as usize)))
    }

    async fn head(&self, at: &At, name: &ObjectName) -> Result<ObjectMeta, BackendError> {
        self.clients.patient.head(&self.path(name)).await.map_err(|e| classify(at.clone(), e))
    }
}

impl Backend for Cloud {
    fn location(&self) -> &Location {
        &self.location
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.put_with(self.at(Verb::Put, name), name, sealed, PutMode::Create)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        let at = self.at(Verb::Get, name);
        self.wait(&at, self.read(&at, name, None))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        let at = self.at(Verb::GetRange, name);
        self.wait(&at, async {
            // There is no HTTP range without a byte.
            if range.start < range.end {
                match self.read(&at, name, Some(range.clone())).await {
                    // Servers refuse a range that starts beyond the end in as many ways as there
                    // are servers, so look whether that is what it was.
                    Err(BackendError::Other { at: b, source }) => {
                        check_range(&at, &range, self.head(&at, name).await?.size)?;
                        return Err(BackendError::Other { at: b, source });
                    }
                    result => return result,
                }
            }
            check_range(&at, &range, self.head(&at, name).await?.size)?;
            Ok(Sealed::from_store(Bytes::new()))
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        let at = self.at(Verb::Stat, name);
        let meta = self.wait(&at, self.head(&at, name))?;
        Ok(Listed { name: name.clone(), len: meta.size, modified: modified(&meta) })
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let at = At::kind(&self.location, Verb::List, kind);
        let dir = match self.prefix.as_ref() {
            "" => kind.prefix().to_owned(),
            prefix => format!("{prefix}/{}", kind.prefix()),
        };
        let dir = Path::parse(dir).expect("a prefix and a kind make a path");
        let mut stream = self.clients.patient.list(Some(&dir)).fuse();
        loop {
            // One page at a time and outside of the runtime, because `each` may call the backend.
            let metas = self.wait(&at, async {
                let Some(first) = stream.next().await else {
                    return Ok(Vec::new());
                };
                let mut metas = vec![first.map_err(|e| classify(at.clone(), e))?];
                while metas.len() < 1000 {
                    match stream.next().now_or_never() {
                        Some(Some(Ok(meta))) => metas.push(meta),
                        Some(Some(Err(error))) => return Err(classify(at.clone(), error)),
                        Some(None) | None => break,
                    }
                }
                Ok(metas)
            })?;
            if metas.is_empty() {
                return Ok(());
            }
            for meta in metas {
                let text = self.name_of(&meta.location).unwrap_or(meta.location.as_ref());
                each(match ObjectName::parse(text) {
                    Ok(name) => Ok(Listed { name, len: meta.size, modified: modified(&meta) }),
                    Err(_) => Err(Junk { name: text.to_owned(), len: meta.size }),
                });
            }
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        let at = self.at(Verb::Delete, name);
        self.wait(&at, async {
            match self.clients.patient.delete(&self.path(name)).await {
                Ok(()) => Ok(()),
                Err(error) => match classify(at.clone(), error) {
                    BackendError::NotFound { .. } => Ok(()),
                    error => Err(error),
                },
            }
        })
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        let at = self.at(Verb::Heal, name);
        check_heal(at.clone(), name, sealed)?;
        self.put_with(at, name, sealed, PutMode::Overwrite).map(|_| ())
    }
}

fn join(mut parts: Vec<Bytes>, len: usize) -> Bytes {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut whole = BytesMut::with_capacity(len);
    for part in parts {
        whole.extend_from_slice(&part);
    }
    whole.freeze()
}

fn short(at: &At, expect: u64, received: u64) -> BackendError {
    let why = format!("{received} bytes arrived instead of {expect}");
    BackendError::Damaged { at: Box::new(at.clone()), why }
}

fn modified(meta: &ObjectMeta) -> Timestamp {
    let time = meta.last_modified;
    Timestamp::new(time.timestamp(), time.timestamp_subsec_nanos())
}

#[cfg(test)]
mod tests;
