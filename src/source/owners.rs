//! Names of owners by their numbers.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::{PoisonError, RwLock};

type Names = RwLock<HashMap<u32, Option<Vec<u8>>>>;

/// Asks the system for each number once; an answer may take a trip over the network.
#[derive(Debug, Default)]
pub struct Owners {
    users: Names,
    groups: Names,
}

impl Owners {
    /// Name of user `uid`, where it has one.
    pub fn user(&self, uid: u32) -> Option<Vec<u8>> {
        cached(&self.users, uid, || {
            uzers::get_user_by_uid(uid).map(|user| user.name().as_bytes().to_vec())
        })
    }

    /// Name of group `gid`, where it has one.
    pub fn group(&self, gid: u32) -> Option<Vec<u8>> {
        cached(&self.groups, gid, || {
            uzers::get_group_by_gid(gid).map(|group| group.name().as_bytes().to_vec())
        })
    }
}

/// The lock is not held while `ask` runs: one slow answer must not stop all readers.
fn cached(names: &Names, id: u32, ask: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    if let Some(name) = names.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return name.clone();
    }
    let name = ask();
    let mut names = names.write().unwrap_or_else(PoisonError::into_inner);
    // The first answer stays, so that all entries of a snapshot agree.
    names.entry(id).or_insert(name).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_once() {
        let names = Names::default();
        assert_eq!(cached(&names, 5, || Some(b"games".to_vec())), Some(b"games".to_vec()));
        assert_eq!(cached(&names, 5, || unreachable!()), Some(b"games".to_vec()));
        assert_eq!(cached(&names, 6, || None), None);
        assert_eq!(cached(&names, 6, || unreachable!()), None);
    }

    #[test]
    fn root_has_a_name_where_anybody_has() {
        let owners = Owners::default();
        assert_eq!(owners.user(0), Some(b"root".to_vec()));
        assert_eq!(owners.group(0), Some(b"root".to_vec()));
        assert_eq!(owners.user(3_999_999_999), None);
    }
}
