//! What `--group-by` means.

use crate::ops::group::GroupBy;

/// Reads a list of `host`, `paths` and `tags`, separated by commas.
pub(crate) fn group_by(text: &str) -> Result<GroupBy, String> {
    let mut group_by = GroupBy::default();
    for word in text.split(',') {
        match word.trim() {
            "host" | "hosts" => group_by.host = true,
            "path" | "paths" => group_by.paths = true,
            "tag" | "tags" => group_by.tags = true,
            "" => {}
            other => return Err(format!("{other:?} is not `host`, `paths` or `tags`")),
        }
    }
    Ok(group_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_restic_names_them() {
        let all = GroupBy { host: true, paths: true, tags: true };
        assert_eq!(group_by("host,paths,tags"), Ok(all));
        assert_eq!(group_by("tags, path,hosts"), Ok(all));
        assert_eq!(group_by(""), Ok(GroupBy::default()));
        let refused = group_by("host,user").expect_err("there is no such word");
        assert_eq!(refused, "\"user\" is not `host`, `paths` or `tags`");
    }
}
