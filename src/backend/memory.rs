//! Objects in a map, for tests and trials.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::error::{At, BackendError};
use super::location::{Location, Place};
use super::verb::Verb;
use super::{Backend, Junk, Listed, Options, Put};
use super::{check_heal, check_len, check_range};
use crate::base::{Clock, Timestamp};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Maps by name, so that `memory:x` is the same place everywhere in a process.
static PLACES: LazyLock<Mutex<HashMap<String, Arc<Memory>>>> = LazyLock::new(Mutex::default);

/// A map from names to objects.
pub struct Memory {
    location: Location,
    clock: Arc<dyn Clock>,
    /// By text and not by [`ObjectName`], because strangers may plant anything here too.
    objects: Mutex<BTreeMap<String, Object>>,
}

struct Object {
    bytes: Bytes,
    modified: Timestamp,
}

/// Opens the map of this name.
pub(super) fn open(
    location: &Location,
    _options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    match lock(&PLACES).get(name_of(location)) {
        Some(memory) => Ok(Arc::clone(memory) as Arc<dyn Backend>),
        None => Err(BackendError::NoRepository {
            at: Box::new(At::place(location, Verb::Open)),
            why: "nothing in this process has that name".to_owned(),
            source: None,
        }),
    }
}

/// Makes the map of this name, or opens it.
pub(super) fn create(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    let name = name_of(location);
    let mut places = lock(&PLACES);
    let memory = places
        .entry(name.to_owned())
        .or_insert_with(|| Memory::new(name, Arc::clone(&options.clock)));
    Ok(Arc::clone(memory) as Arc<dyn Backend>)
}

fn name_of(location: &Location) -> &str {
    match location.place() {
        Place::Memory(name) => name,
        _ => unreachable!("the table of backends opens only memory locations here"),
    }
}

impl Memory {
    /// An empty map that only the holders of this handle see, stamped by `clock`.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { location: Location::memory(name), clock, objects: Mutex::default() })
    }

    /// Stores anything under any name, as somebody with access to the place might.
    pub fn plant(&self, name: &str, bytes: impl Into<Bytes>) {
        let object = Object { bytes: bytes.into(), modified: self.clock.now() };
        lock(&self.objects).insert(name.to_owned(), object);
    }

    /// Every name with its bytes, as somebody with access to the place sees it.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        lock(&self.objects).iter().map(|(name, o)| (name.clone(), o.bytes.clone())).collect()
    }

    fn find<T>(
        &self,
        verb: Verb,
        name: &ObjectName,
        take: impl FnOnce(At, &Object) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let at = At::object(&self.location, verb, name);
        match lock(&self.objects).get(name.as_str()) {
            Some(object) => take(at, object),
            None => Err(BackendError::NotFound { at: Box::new(at) }),
        }
    }

    fn object(&self, sealed: &Sealed) -> Object {
        Object { bytes: sealed.bytes().clone(), modified: self.clock.now() }
    }
}

impl Backend for Memory {
    fn location(&self) -> &Location {
        &self.location
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        check_len(&At::object(&self.location, Verb::Put, name), sealed.len())?;
        let object = self.object(sealed);
        let mut objects = lock(&self.objects);
        if objects.contains_key(name.as_str()) {
            return Ok(Put::Exists);
        }
        objects.insert(name.as_str().to_owned(), object);
        Ok(Put::Created)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.find(Verb::Get, name, |at, object| {
            check_len(&at, object.bytes.len() as u64)?;
            Ok(Sealed::from_store(object.bytes.clone()))
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.find(Verb::GetRange, name, |at, object| {
            check_range(&at, &range, object.bytes.len() as u64)?;
            let (start, end) = (range.start as usize, range.end as usize);
            Ok(Sealed::from_store(object.bytes.slice(start..end)))
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.find(Verb::Stat, name, |_, object| {
            let (len, modified) = (object.bytes.len() as u64, object.modified);
            Ok(Listed { name: name.clone(), len, modified })
        })
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let prefix = kind.prefix();
        // Copied, because `each` may call back.
        let listed: Vec<_> = lock(&self.objects)
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, object)| (name.clone(), object.bytes.len() as u64, object.modified))
            .collect();
        for (name, len, modified) in listed {
            each(match ObjectName::parse(&name) {
                Ok(name) => Ok(Listed { name, len, modified }),
                Err(_) => Err(Junk { name, len }),
            });
        }
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        lock(&self.objects).remove(name.as_str());
        Ok(())
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        check_heal(At::object(&self.location, Verb::Heal, name), name, sealed)?;
        let object = self.object(sealed);
        lock(&self.objects).insert(name.as_str().to_owned(), object);
        Ok(())
    }
}

/// A panic elsewhere leaves the map whole: every change is one insert or one remove.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::base::SystemClock;

    #[test]
    fn memory_conforms() {
        conformance::check(&|| {
            let memory = Memory::new("conformance", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            Subject {
                backend: memory,
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }

    #[test]
    fn a_name_is_one_place_in_the_process() {
        let location = Location::memory("shared");
        let options = Options::default();
        assert!(matches!(open(&location, &options), Err(BackendError::NoRepository { .. })));
        let first = create(&location, &options).expect("created");
        let sealed = Sealed::from_store(Bytes::from_static(b"x"));
        first.put(&ObjectName::config(1), &sealed).expect("stored");
        let second = open(&location, &options).expect("opened");
        assert_eq!(second.get(&ObjectName::config(1)).expect("read"), sealed);
    }

    #[test]
    fn objects_are_stamped_by_the_given_clock() {
        struct Fixed;
        impl Clock for Fixed {
            fn now(&self) -> Timestamp {
                Timestamp::new(12, 34)
            }
        }
        let memory = Memory::new("stamped", Arc::new(Fixed));
        let name = ObjectName::config(1);
        memory.put(&name, &Sealed::from_store(Bytes::new())).expect("stored");
        assert_eq!(memory.stat(&name).expect("there").modified, Timestamp::new(12, 34));
    }
}
