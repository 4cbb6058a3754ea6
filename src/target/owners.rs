//! Which numbers the names of owners have on this host.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{PoisonError, RwLock};

/// Names remembered of each sort. A snapshot may name a new owner in every entry: 2 × 4,096 names
/// of usual length stay below 1 MiB.
const NAME_COUNT_MAX: usize = 4096;

/// Remembers looked-up names, because each look-up reads files or asks a directory server.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Names,
    groups: Names,
}

impl Owners {
    /// The number of user `name` on this host, or `uid` where there is none of that name.
    pub(super) fn uid(&self, name: Option<&[u8]>, uid: u32) -> u32 {
        self.users.number(name, uid, |name| uzers::get_user_by_name(name).map(|user| user.uid()))
    }

    /// The number of group `name` on this host, or `gid` where there is none of that name.
    pub(super) fn gid(&self, name: Option<&[u8]>, gid: u32) -> u32 {
        self.groups.number(name, gid, |name| uzers::get_group_by_name(name).map(|g| g.gid()))
    }
}

#[derive(Debug, Default)]
struct Names(RwLock<HashMap<Vec<u8>, Option<u32>>>);

impl Names {
    fn number(
        &self,
        name: Option<&[u8]>,
        otherwise: u32,
        look_up: impl FnOnce(&OsStr) -> Option<u32>,
    ) -> u32 {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return otherwise };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        let number = known.unwrap_or_else(|| {
            let number = look_up(OsStr::from_bytes(name));
            let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if names.len() >= NAME_COUNT_MAX {
                names.clear();
            }
            names.insert(name.to_vec(), number);
            number
        });
        number.unwrap_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_wins_over_its_number_only_where_the_host_knows_it() {
        let owners = Owners::default();
        assert_eq!(owners.uid(Some(b"root"), 4711), 0);
        assert_eq!(owners.gid(Some(b"root"), 4711), 0);
        assert_eq!(owners.uid(Some(b"no such user here"), 4711), 4711);
        assert_eq!(owners.uid(Some(b"nul\0name"), 4711), 4711);
        assert_eq!(owners.uid(Some(b""), 4711), 4711);
        assert_eq!(owners.uid(None, 4711), 4711);
    }

    #[test]
    fn a_name_is_looked_up_once() {
        let names = Names::default();
        assert_eq!(names.number(Some(b"a"), 1, |_| Some(7)), 7);
        assert_eq!(names.number(Some(b"a"), 1, |_| panic!("looked up again")), 7);
        assert_eq!(names.number(Some(b"b"), 1, |_| None), 1);
        assert_eq!(names.number(Some(b"b"), 2, |_| panic!("looked up again")), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let names = Names::default();
        for i in 0..3 * NAME_COUNT_MAX {
            names.number(Some(i.to_string().as_bytes()), 1, |_| None);
        }
        assert!(names.0.read().unwrap().len() <= NAME_COUNT_MAX);
    }
}
