//! Which names of a restore are one file, in bounded memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::merge::ComponentNo;
use crate::base::Result;
use crate::format::entry::LinkGroup;
use crate::target::{Created, Removal, Target, TargetDir, create_hard_link};

/// Tells which names are one file.
pub type LinkKey = (ComponentNo, LinkGroup);

/// What is to be done with a name.
#[derive(Debug)]
pub enum Turn {
    /// Restore its content: it is the first one, or those before failed.
    First,
    /// Link it to this name.
    Link(Created),
    /// Ask again when what is in flight is done.
    Wait,
}

/// The files with several names of one restore. Beyond a number of them the target itself remembers
/// the rest, as names in a directory that nobody else can enter.
pub struct Links<'a> {
    target: &'a Target,
    groups: Mutex<HashMap<LinkKey, State>>,
    aside: OnceLock<Option<Arc<TargetDir>>>,
    remembered_count_max: usize,
}

enum State {
    Pending,
    Made(Created),
}

impl<'a> Links<'a> {
    /// Knows no name yet, and remembers so many files in memory.
    pub fn new(target: &'a Target, remembered_count_max: usize) -> Self {
        Self { target, groups: Mutex::default(), aside: OnceLock::new(), remembered_count_max }
    }

    /// What is to be done with the next name of a file.
    pub fn next(&self, key: LinkKey) -> Turn {
        let mut groups = self.lock();
        match groups.get(&key) {
            Some(State::Made(created)) => return Turn::Link(created.clone()),
            Some(State::Pending) => return Turn::Wait,
            None => {}
        }
        if let Some(Some(aside)) = self.aside.get()
            && let Ok(Some(created)) = Created::in_own_dir(aside, &name_aside(key))
        {
            return Turn::Link(created);
        }
        groups.insert(key, State::Pending);
        Turn::First
    }

    /// Tells what became of a first name.
    pub fn made(&self, key: LinkKey, created: Option<Created>) {
        let Some(created) = created else {
            self.lock().remove(&key);
            return;
        };
        if self.lock().len() >= self.remembered_count_max && self.put_aside(key, &created).is_ok() {
            self.lock().remove(&key);
            return;
        }
        self.lock().insert(key, State::Made(created));
    }

    /// Removes what the target remembers.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn finish(&self) -> Result<()> {
        let Some(Some(aside)) = self.aside.get() else { return Ok(()) };
        let everything = Removal {
            is_selected: &|_, _| true,
            stays: &[],
            removed: &|_, _| {},
            is_over: &|| false,
        };
        self.target.root().remove(aside.name(), &everything)
    }

    fn put_aside(&self, key: LinkKey, created: &Created) -> Result<()> {
        let aside = self.aside.get_or_init(|| self.target.make_own_dir().ok());
        let Some(aside) = aside else { return Err(crate::pipeline::backup::ending()) };
        create_hard_link(created, aside, &name_aside(key))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LinkKey, State>> {
        self.groups.lock().expect("no thread panics while it holds the lock")
    }
}

fn name_aside((component, group): LinkKey) -> Vec<u8> {
    format!("{component}-{}-{}", group.mount, group.inode).into_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::format::entry::{Entry, EntryKind};
    use crate::target::{Options, create_file};

    #[test]
    fn what_does_not_fit_into_memory_is_remembered_by_the_target() {
        let scratch = tempfile::tempdir().unwrap();
        let target = Target::open(&scratch.path().join("t"), Options::default()).unwrap();
        let links = Links::new(&target, 10);
        let key = |inode| (0, LinkGroup { mount: 1, inode });
        let mut about = Entry::new(b"x", EntryKind::File);
        about.mode = 0o600;
        for inode in 0..100 {
            assert!(matches!(links.next(key(inode)), Turn::First));
            assert!(matches!(links.next(key(inode)), Turn::Wait));
            let file = create_file(target.root(), format!("f{inode}").as_bytes()).unwrap();
            links.made(key(inode), Some(file.finish(&about).unwrap().created));
        }
        assert!(links.lock().len() <= 11);
        links.made(key(1000), None);
        assert!(matches!(links.next(key(1000)), Turn::First));
        for inode in 0..100 {
            let Turn::Link(first) = links.next(key(inode)) else { panic!("{inode} is forgotten") };
            create_hard_link(&first, target.root(), format!("g{inode}").as_bytes()).unwrap();
        }
        links.finish().unwrap();
        assert_eq!(fs::read_dir(scratch.path().join("t")).unwrap().count(), 200);
        for inode in 0..100 {
            let stat =
                |word| fs::metadata(scratch.path().join(format!("t/{word}{inode}"))).unwrap();
            assert_eq!((stat("f").ino(), stat("f").nlink()), (stat("g").ino(), 2));
        }
    }
}
