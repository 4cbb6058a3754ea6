//! Finds what a pattern of an absolute path means where links on that path lead elsewhere.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::pattern::NamePattern;

/// Resolves patterns; thousands from a list mostly share their directories.
///
/// Sources are read, stored and matched by their real paths. Where `/home` is a link to
/// `/data/home`, whoever excludes `/home/me/tmp` means `/data/home/me/tmp`.
#[derive(Debug, Default)]
pub struct RealPatterns(HashMap<PathBuf, Option<PathBuf>>);

impl RealPatterns {
    /// The pattern with the links resolved that lead to its last name without wildcards; `None`
    /// where that changes nothing.
    pub fn resolve(&mut self, pattern: &[u8]) -> Option<Vec<u8>> {
        let (sign, path) = match pattern.strip_prefix(b"!") {
            Some(rest) => (&b"!"[..], rest),
            None => (&b""[..], pattern),
        };
        let names: Vec<&[u8]> =
            path.strip_prefix(b"/")?.split(|byte| *byte == b'/').filter(is_name).collect();
        let fixed = names.iter().take_while(|name| !NamePattern::is_wild(name)).count();
        // A link that is excluded itself stands as the last name.
        let fixed = fixed.min(names.len().saturating_sub(1));
        if names.contains(&&b".."[..]) {
            return None;
        }
        let directory = names[..fixed].iter().map(|name| OsStr::from_bytes(name));
        let directory: PathBuf = std::iter::once(OsStr::new("/")).chain(directory).collect();
        let found = self.0.entry(directory).or_insert_with_key(|path| real(path));
        let mut resolved = [sign, &escaped(found.as_ref()?)].concat();
        for name in &names[fixed..] {
            resolved.push(b'/');
            resolved.extend_from_slice(name);
        }
        Some(resolved)
    }
}

fn is_name(name: &&[u8]) -> bool {
    !matches!(*name, b"" | b".")
}

fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|real| real != path)
}

/// A path as a pattern that matches nothing else.
fn escaped(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    let mut pattern = Vec::with_capacity(bytes.len());
    for byte in if bytes == b"/" { b"" } else { bytes } {
        if NamePattern::is_wild(&[*byte]) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_before_the_last_name_are_resolved() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("da[t]a/me")).unwrap();
        std::os::unix::fs::symlink("da[t]a", real.join("home")).unwrap();
        std::os::unix::fs::symlink("/", real.join("top")).unwrap();
        let mut patterns = RealPatterns::default();
        let mut resolve = |pattern: &str| {
            let pattern = pattern.replace('@', real.to_str().unwrap());
            let found = patterns.resolve(pattern.as_bytes())?;
            Some(String::from_utf8(found).unwrap().replace(real.to_str().unwrap(), "@"))
        };
        for (pattern, expect) in [
            ("@/home/me/x", "@/da\\[t]a/me/x"),
            ("!@/home/*", "!@/da\\[t]a/*"),
            ("@/home/me/*/[a]/", "@/da\\[t]a/me/*/[a]"),
            ("@//home/./me", "@/da\\[t]a/me"),
            ("@/top/x", "/x"),
        ] {
            assert_eq!(resolve(pattern).as_deref(), Some(expect), "{pattern}");
        }
        for pattern in [
            "@/home",
            "@/da[t]a/me/x",
            "@/gone/me/x",
            "home/me",
            "*.o",
            "",
            "!",
            "/",
            "@/home/../x",
        ] {
            assert_eq!(resolve(pattern), None, "{pattern}");
        }
    }
}
