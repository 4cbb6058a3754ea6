//! The options that say which snapshots count.

use std::path::{Component, Path, PathBuf};

use super::environment::Environment;
use super::ui::Ui;
use crate::base::Result;
use crate::repo::select::{Filter, Selector};

/// Which snapshots count.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SnapshotFilter {
    /// Only snapshots of this host, or of one of several; "" for all [env: PARADOS_HOST]
    #[arg(short = 'H', long = "host", value_name = "NAME")]
    filter_hosts: Vec<String>,

    /// Only snapshots with all of these tags, or with those of another `--tag`; "" for none
    #[arg(long = "tag", value_name = "TAG[,TAG]...")]
    filter_tags: Vec<String>,

    /// Only snapshots of this path, and of those of every other `--path`
    #[arg(long = "path", value_name = "PATH")]
    filter_paths: Vec<PathBuf>,
}

impl SnapshotFilter {
    /// The filter that is meant.
    ///
    /// # Errors
    /// When the variable is not UTF-8.
    pub(crate) fn filter(&self, environment: &Environment) -> Result<Filter> {
        let hosts = match &self.filter_hosts[..] {
            [] => environment.text("PARADOS_HOST")?.into_iter().collect(),
            [all] if all.is_empty() => Vec::new(),
            hosts => hosts.to_vec(),
        };
        let list = |tags: &String| tags.split(',').map(|tag| tag.trim().to_owned()).collect();
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Ok(Filter {
            hosts,
            tags: self.filter_tags.iter().map(list).collect(),
            paths: self.filter_paths.iter().map(|path| absolute(&cwd, path)).collect(),
        })
    }

    /// What selects the snapshot that was typed as `word`.
    ///
    /// # Errors
    /// As [`SnapshotFilter::filter`].
    pub(crate) fn selector(&self, word: String, environment: &Environment) -> Result<Selector> {
        Ok(Selector { word, filter: self.filter(environment)? })
    }

    /// Warns when nothing that was typed is filtered.
    pub(crate) fn warn_if_idle<'w>(&self, words: impl IntoIterator<Item = &'w str>, ui: &Ui) {
        let is_typed = !(self.filter_hosts.is_empty()
            && self.filter_tags.is_empty()
            && self.filter_paths.is_empty());
        let mut words = words.into_iter().peekable();
        let has_words = words.peek().is_some();
        if is_typed && has_words && !words.any(|word| Selector::from(word).is_latest()) {
            ui.warn("`--host`, `--tag` and `--path` have no say: the snapshot is named by its id");
        }
    }
}

/// An absolute path without `.` and `..`, by its spelling alone: the path may be long gone.
fn absolute(cwd: &Path, path: &Path) -> Vec<u8> {
    let mut spelled = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::ParentDir => drop(spelled.pop()),
            Component::CurDir => {}
            part => spelled.push(part),
        }
    }
    spelled.into_os_string().into_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(typed: &SnapshotFilter, variables: &[(&str, &str)]) -> Filter {
        typed.filter(&Environment::of(variables)).expect("it makes sense")
    }

    #[test]
    fn the_variable_is_a_default_that_an_empty_host_unsets() {
        let variables = [("PARADOS_HOST", "env")];
        let typed = |hosts: &[&str]| SnapshotFilter {
            filter_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..SnapshotFilter::default()
        };
        assert_eq!(filter(&typed(&[]), &variables).hosts, ["env"]);
        assert_eq!(filter(&typed(&["a", "b"]), &variables).hosts, ["a", "b"]);
        assert!(filter(&typed(&[""]), &variables).is_empty());
        assert!(filter(&typed(&[]), &[]).is_empty());
    }

    #[test]
    fn tags_are_lists_and_paths_are_absolute() {
        let typed = SnapshotFilter {
            filter_tags: vec!["a, b".to_owned(), String::new()],
            ..SnapshotFilter::default()
        };
        assert_eq!(filter(&typed, &[]).tags, [vec!["a", "b"], vec![""]]);
        let spelled = |path: &str| absolute(Path::new("/home/u"), Path::new(path));
        assert_eq!(spelled("x"), b"/home/u/x");
        assert_eq!(spelled("./../v//w/"), b"/home/v/w");
        assert_eq!(spelled("/.././etc"), b"/etc");
    }
}
