//! The structures of `--json`, with restic's names.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::base::Timestamp;
use crate::base::text::{deceives, escape, is_printable};
use crate::format::entry::{Entry, EntryKind, Range, flags};
use crate::format::slot::SlotKind;
use crate::repo::snapshots::Committed;
use crate::source::selection::Why;

use super::text;

/// Room for a line with a secret beside two paths, in bytes.
const SECRET_LINE_LEN_MAX: usize = 64 << 10;

/// One line of JSON. What could drive a terminal or deceive a reader is written as `\u009b`, so
/// that the line may be looked at as well.
pub(crate) fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("our structures have string keys only");
    if is_printable(&text) { text } else { escaped(&text) }
}

/// As [`line()`], for what contains a secret.
pub(crate) fn secret_line(value: &impl Serialize) -> Zeroizing<String> {
    // Growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_LINE_LEN_MAX));
    serde_json::to_writer(&mut *bytes, value).expect("our structures have string keys only");
    let text = std::str::from_utf8(&bytes).expect("JSON is UTF-8");
    Zeroizing::new(if is_printable(text) { text.to_owned() } else { escaped(text) })
}

fn escaped(text: &str) -> String {
    // Outside of strings, where this would be wrong, JSON has none of these characters.
    let mut escaped = String::with_capacity(6 * text.len());
    for character in text.chars() {
        if character.is_control() || deceives(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A path as text. Bytes that are not UTF-8 are replaced; [`raw_path`] keeps them.
pub(crate) fn path(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Hex digits of a path that is not UTF-8.
fn raw_path(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| hex::encode(bytes))
}

/// `notice` or `warning`.
#[derive(Serialize)]
pub(crate) struct Notice<'a> {
    message_type: &'static str,
    message: &'a str,
}

impl<'a> Notice<'a> {
    pub(crate) fn new(message_type: &'static str, message: &'a str) -> Self {
        Self { message_type, message }
    }
}

/// `exit_error`: what ended the run.
#[derive(Serialize)]
pub(crate) struct ExitError {
    pub(crate) message_type: &'static str,
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// `error`: what did not end the run.
#[derive(Serialize)]
pub(crate) struct Problem {
    pub(crate) message_type: &'static str,
    pub(crate) error: Message,
    pub(crate) during: &'static str,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// The inner part of [`Problem`].
#[derive(Serialize)]
pub(crate) struct Message {
    pub(crate) message: String,
}

/// `status`: how far a run is.
#[derive(Serialize)]
pub(crate) struct Status {
    pub(crate) message_type: &'static str,
    pub(crate) seconds_elapsed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_remaining: Option<u64>,
    pub(crate) percent_done: f64,
    pub(crate) total_files: u64,
    pub(crate) files_done: u64,
    pub(crate) total_bytes: u64,
    pub(crate) bytes_done: u64,
    pub(crate) error_count: u64,
    pub(crate) current_files: Vec<String>,
}

/// `initialized`: a new repository.
#[derive(Serialize)]
pub(crate) struct Initialized<'a> {
    pub(crate) message_type: &'static str,
    pub(crate) id: String,
    pub(crate) repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notice: Option<String>,
}

/// Sums of a snapshot.
#[derive(Serialize)]
pub(crate) struct SnapshotSummary {
    backup_start: String,
    backup_end: String,
    data_added: u64,
    data_added_packed: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    error_count: u64,
}

/// A snapshot, as in restic's list.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    /// Only where several kinds of objects are printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) struct_type: Option<&'static str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<String>,
    paths: Vec<String>,
    hostname: String,
    username: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    program_version: String,
    summary: SnapshotSummary,
    id: String,
    short_id: String,
}

impl Snapshot {
    pub(crate) fn new(committed: &Committed) -> Self {
        let snapshot = &committed.snapshot;
        let components = &snapshot.components;
        let sum = |of: fn(&crate::format::snapshot::Statistics) -> u64| {
            components.iter().map(|component| of(&component.statistics)).sum()
        };
        Self {
            message_type: None,
            struct_type: None,
            time: snapshot.time.to_rfc3339(),
            parent: snapshot.parent.map(|id| id.to_hex()),
            tree: components.iter().find_map(|c| c.root).map(|root| root.id.to_hex()),
            paths: text::paths(snapshot).map(path).collect(),
            hostname: snapshot.host.clone(),
            username: snapshot.user.clone(),
            tags: snapshot.tags.clone(),
            description: snapshot.description.clone(),
            program_version: snapshot.program.clone(),
            summary: SnapshotSummary {
                backup_start: snapshot.time.to_rfc3339(),
                backup_end: snapshot.finished.to_rfc3339(),
                data_added: sum(|s| s.new_bytes),
                data_added_packed: sum(|s| s.stored_bytes),
                total_files_processed: sum(|s| s.file_count),
                total_bytes_processed: sum(|s| s.content_bytes),
                error_count: sum(|s| s.problem_count),
            },
            id: committed.id.to_hex(),
            short_id: committed.id.short(),
        }
    }
}

/// Snapshots that have something in common, as in restic's list.
#[derive(Serialize)]
pub(crate) struct SnapshotGroup {
    pub(crate) group_key: GroupKey,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// What they have in common; empty where it was not asked for.
#[derive(Serialize)]
pub(crate) struct GroupKey {
    hostname: String,
    paths: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

impl GroupKey {
    pub(crate) fn new(key: &crate::ops::group::GroupKey) -> Self {
        Self {
            hostname: key.host.clone().unwrap_or_default(),
            paths: key.paths.as_ref().map(|paths| paths.iter().map(|p| path(p)).collect()),
            tags: key.tags.clone(),
        }
    }
}

/// What `forget` makes of a group, with restic's names.
#[derive(Serialize)]
pub(crate) struct ForgetGroup {
    tags: Option<Vec<String>>,
    host: String,
    paths: Option<Vec<String>>,
    keep: Vec<Snapshot>,
    remove: Vec<Snapshot>,
    reasons: Vec<KeepReason>,
}

/// Why a snapshot is kept.
#[derive(Serialize)]
pub(crate) struct KeepReason {
    snapshot: Snapshot,
    matches: Vec<String>,
}

impl ForgetGroup {
    pub(crate) fn new(group: &crate::ops::forget::Group) -> Self {
        let GroupKey { hostname: host, paths, tags } = GroupKey::new(&group.key);
        let reasons = group.kept.iter().map(|(committed, reasons)| KeepReason {
            snapshot: Snapshot::new(committed),
            matches: reasons.clone(),
        });
        Self {
            tags,
            host,
            paths,
            keep: group.kept.iter().map(|(committed, _)| Snapshot::new(committed)).collect(),
            remove: group.forgotten.iter().map(Snapshot::new).collect(),
            reasons: reasons.collect(),
        }
    }
}

/// `unforgotten`: a snapshot that is back under a new id.
#[derive(Serialize)]
pub(crate) struct Unforgotten {
    pub(crate) message_type: &'static str,
    pub(crate) snapshot_id: String,
    pub(crate) original: String,
}

/// `pruned`: what a prune did, or would do.
#[derive(Serialize)]
pub(crate) struct Pruned {
    message_type: &'static str,
    dry_run: bool,
    packs_deleted: u64,
    bytes_deleted: u64,
    snapshots_deleted: u64,
    packs_named: u64,
    bytes_named: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_until: Option<String>,
    bytes_moved: u64,
    packs_kept: u64,
    bytes_kept: u64,
    bytes_unused: u64,
    segments_replaced: u64,
}

impl Pruned {
    pub(crate) fn new(report: &crate::ops::prune::Report, dry_run: bool) -> Self {
        Self {
            message_type: "pruned",
            dry_run,
            packs_deleted: report.deleted_packs,
            bytes_deleted: report.deleted_bytes,
            snapshots_deleted: report.deleted_snapshots,
            packs_named: report.waiting_packs,
            bytes_named: report.waiting_bytes,
            named_until: report.waiting_until.map(Timestamp::to_rfc3339),
            bytes_moved: report.moved_bytes,
            packs_kept: report.kept_packs,
            bytes_kept: report.kept_bytes,
            bytes_unused: report.unused_bytes,
            segments_replaced: report.replaced_segments,
        }
    }
}

/// `repaired_index`: what a repair did, or would do.
#[derive(Serialize)]
pub(crate) struct RepairedIndex {
    message_type: &'static str,
    dry_run: bool,
    packs_described: u64,
    bytes_described: u64,
    packs_unreadable: u64,
    segments_damaged: Vec<String>,
    segments_removed: u64,
}

impl RepairedIndex {
    pub(crate) fn new(report: &crate::ops::repair::index::Report, dry_run: bool) -> Self {
        Self {
            message_type: "repaired_index",
            dry_run,
            packs_described: report.described_packs,
            bytes_described: report.described_bytes,
            packs_unreadable: report.unreadable_packs,
            segments_damaged: report.damaged_segments.iter().map(ToString::to_string).collect(),
            segments_removed: match report.removes_segments {
                true => report.damaged_segments.len() as u64,
                false => 0,
            },
        }
    }
}

/// `repaired_pack`: what became of a pack, or would.
#[derive(Serialize)]
pub(crate) struct RepairedPack {
    message_type: &'static str,
    dry_run: bool,
    id: String,
    damaged: bool,
    chunks_elsewhere: u64,
    chunks_stored: u64,
    chunks_lost: u64,
    /// Nothing says what it holds.
    unknown: bool,
}

impl RepairedPack {
    pub(crate) fn new(found: &crate::ops::repair::packs::Found, dry_run: bool) -> Self {
        Self {
            message_type: "repaired_pack",
            dry_run,
            id: found.id.to_hex(),
            damaged: found.is_damaged,
            chunks_elsewhere: found.elsewhere_count,
            chunks_stored: found.stored_count,
            chunks_lost: found.lost_count,
            unknown: found.is_unknown,
        }
    }
}

/// `repaired_snapshot`: what became of a snapshot of which something is lost, or would.
#[derive(Serialize)]
pub(crate) struct RepairedSnapshot<'a> {
    message_type: &'static str,
    dry_run: bool,
    original: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<String>,
    forgotten: bool,
    files_lost: u64,
    bytes_lost: u64,
    directories_lost: u64,
    entries_lost: u64,
    affected: &'a [String],
}

impl<'a> RepairedSnapshot<'a> {
    pub(crate) fn new(torn: &'a crate::ops::repair::snapshots::Torn, dry_run: bool) -> Self {
        Self {
            message_type: "repaired_snapshot",
            dry_run,
            original: torn.old.id.to_hex(),
            snapshot_id: torn.new.as_ref().map(|new| new.id.to_hex()),
            forgotten: torn.is_forgotten,
            files_lost: torn.lost_file_count,
            bytes_lost: torn.lost_bytes,
            directories_lost: torn.lost_directory_count,
            entries_lost: torn.lost_entry_count,
            affected: &torn.named,
        }
    }
}

/// `recovered`: directories that no snapshot named, and the snapshot of them.
#[derive(Serialize)]
pub(crate) struct Recovered {
    message_type: &'static str,
    dry_run: bool,
    trees: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<String>,
}

impl Recovered {
    pub(crate) fn new(report: &crate::ops::recover::Report, dry_run: bool) -> Self {
        Self {
            message_type: "recovered",
            dry_run,
            trees: report.trees.iter().map(|tree| tree.id.to_hex()).collect(),
            snapshot_id: report.made.as_ref().map(|made| made.id.to_hex()),
        }
    }
}

/// `node`: one line of `ls`.
#[derive(Serialize)]
pub(crate) struct Node {
    message_type: &'static str,
    struct_type: &'static str,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    path: String,
    /// Hex digits of the path, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mode: u32,
    permissions: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linktarget: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    /// The file changed while it was read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inconsistent: bool,
    /// Some of its attributes, or of the names in it, could not be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
    /// Names in it were left out on request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// Ranges that a repair found lost, and that are zeros.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Vec<String>>,
}

impl Node {
    pub(crate) fn new(full: &[u8], entry: &Entry) -> Self {
        let marks = entry.flags.unwrap_or(0);
        Self {
            message_type: "node",
            struct_type: "node",
            name: path(&entry.name),
            kind: entry.kind.noun(),
            path: path(full),
            path_hex: raw_path(full),
            uid: entry.uid,
            gid: entry.gid,
            user: entry.user.as_deref().map(path),
            group: entry.group.as_deref().map(path),
            size: entry.size,
            mode: go_mode(entry),
            permissions: text::permissions(entry),
            mtime: entry.mtime.map(Timestamp::to_rfc3339),
            linktarget: entry.target.as_deref().map(path),
            inode: entry.link.map(|link| link.inode),
            inconsistent: marks & flags::INCONSISTENT != 0,
            incomplete: marks & flags::INCOMPLETE != 0,
            partial: marks & flags::PARTIAL != 0,
            lost: entry.lost.as_ref().map(|ranges| {
                let told = |range: &Range| format!("{}+{}", range.offset, range.len);
                ranges.iter().map(told).collect()
            }),
        }
    }
}

/// Mode bits as Go's `os.FileMode` has them, which is what restic prints.
fn go_mode(entry: &Entry) -> u32 {
    let kind = match entry.kind {
        EntryKind::File => 0,
        EntryKind::Directory => 1 << 31,
        EntryKind::Symlink => 1 << 27,
        EntryKind::Fifo => 1 << 25,
        EntryKind::Socket => 1 << 24,
        EntryKind::BlockDevice => 1 << 26,
        EntryKind::CharDevice => 1 << 26 | 1 << 21,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    special
        .into_iter()
        .filter(|(unix, _)| entry.mode & unix != 0)
        .fold(kind | entry.mode & 0o777, |mode, (_, go)| mode | go)
}

/// `excluded_item`: something that a backup was told to leave out.
#[derive(Serialize)]
pub(crate) struct ExcludedItem {
    message_type: &'static str,
    item: String,
    /// Hex digits of the path, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    item_hex: Option<String>,
    reason: &'static str,
}

impl ExcludedItem {
    pub(crate) fn new(full: &[u8], why: Why) -> Self {
        Self {
            message_type: "excluded_item",
            item: path(full),
            item_hex: raw_path(full),
            reason: match why {
                Why::Pattern => "pattern",
                Why::Tag => "tag",
                Why::Size => "size",
                Why::FileSystem => "file_system",
                Why::IgnoreFile => "ignore_file",
            },
        }
    }
}

/// `summary` of `backup`.
#[derive(Serialize)]
pub(crate) struct BackupSummary {
    pub(crate) message_type: &'static str,
    pub(crate) files_new: u64,
    pub(crate) files_changed: u64,
    pub(crate) files_unmodified: u64,
    pub(crate) data_blobs: u64,
    pub(crate) tree_blobs: u64,
    pub(crate) data_added: u64,
    pub(crate) data_added_packed: u64,
    pub(crate) packs_added: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blobs_healed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files_resumed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_resumed: Option<u64>,
    pub(crate) total_files_processed: u64,
    pub(crate) total_dirs_processed: u64,
    pub(crate) total_bytes_processed: u64,
    pub(crate) backup_start: String,
    pub(crate) backup_end: String,
    pub(crate) total_duration: f64,
    pub(crate) error_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// Absent where no snapshot was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dry_run: Option<bool>,
}

/// `summary` of `restore`.
#[derive(Serialize)]
pub(crate) struct RestoreSummary {
    pub(crate) message_type: &'static str,
    pub(crate) seconds_elapsed: u64,
    pub(crate) total_files: u64,
    pub(crate) files_restored: u64,
    pub(crate) files_skipped: u64,
    pub(crate) files_deleted: u64,
    pub(crate) total_bytes: u64,
    pub(crate) bytes_restored: u64,
    pub(crate) bytes_skipped: u64,
    pub(crate) error_count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    pub(crate) snapshot_id: String,
}

/// `verbose_status` of `restore`: what was done to one entry.
#[derive(Serialize)]
pub(crate) struct RestoreStatus {
    message_type: &'static str,
    action: &'static str,
    #[serde(rename = "item")]
    path: String,
    /// Hex digits of the path, where it is not UTF-8.
    #[serde(rename = "item_hex", skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: u64,
}

impl RestoreStatus {
    pub(crate) fn new(action: &'static str, full: &[u8], size: u64) -> Self {
        let (path, path_hex) = (path(full), raw_path(full));
        Self { message_type: "verbose_status", action, path, path_hex, size }
    }
}

/// `error` of `check`: one finding.
#[derive(Serialize)]
pub(crate) struct Finding<'a> {
    pub(crate) message_type: &'static str,
    pub(crate) message: String,
    pub(crate) object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<&'static str>,
    pub(crate) hint: &'a str,
    pub(crate) affected: &'a [String],
}

/// `summary` of `check`.
#[derive(Serialize)]
pub(crate) struct CheckSummary<'a> {
    pub(crate) message_type: &'static str,
    pub(crate) num_errors: u64,
    pub(crate) broken_packs: Vec<&'a str>,
    pub(crate) snapshot_count: u64,
    pub(crate) pack_count: u64,
    pub(crate) chunk_count: u64,
    pub(crate) read_pack_count: u64,
    pub(crate) read_bytes: u64,
    pub(crate) misread_count: u64,
    pub(crate) unverified_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_pack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_verified: Option<String>,
}

/// One key slot.
#[derive(Serialize)]
pub(crate) struct KeySlot {
    pub(crate) current: bool,
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    #[serde(rename = "userName")]
    pub(crate) user_name: String,
    #[serde(rename = "hostName")]
    pub(crate) host_name: String,
    pub(crate) created: String,
    pub(crate) label: String,
}

/// `key_added`, `key_removed` or `key_changed`.
#[derive(Serialize)]
pub(crate) struct KeyChange<'a> {
    pub(crate) message_type: &'static str,
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_code: Option<&'a str>,
}

/// `version`.
#[derive(Serialize)]
pub(crate) struct Version {
    pub(crate) message_type: &'static str,
    pub(crate) version: &'static str,
    pub(crate) format: u16,
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
}

/// The word for what opens a slot.
pub(crate) fn slot_kind(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase => "passphrase",
        SlotKind::KeyFile => "key-file",
        SlotKind::RecoveryCode => "recovery-code",
    }
}

/// What is being worked on, for a status.
pub(crate) fn current(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() { Vec::new() } else { vec![escape(bytes)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_go() {
        let mode = |kind, mode| {
            let mut entry = Entry::new(b"x", kind);
            entry.mode = mode;
            go_mode(&entry)
        };
        // As `restic ls --json` prints them.
        assert_eq!(mode(EntryKind::Directory, 0o755), 2_147_484_141);
        assert_eq!(mode(EntryKind::File, 0o644), 420);
        assert_eq!(mode(EntryKind::Symlink, 0o777), 134_218_239);
        assert_eq!(mode(EntryKind::Directory, 0o1777), 2_148_532_735);
    }

    #[test]
    fn names_cannot_leave_their_string() {
        let node = Node::new(b"/\xff\"\n", &Entry::new(b"\xff\"\n", EntryKind::Fifo));
        let text = line(&node);
        let expect = "\"path\":\"/\u{fffd}\\\"\\n\",\"path_hex\":\"2fff220a\"";
        assert!(text.contains(expect), "{text}");
        let message = "\u{9b}31m \u{202e} \u{e0041} \u{1f30d}";
        let text = line(&Notice::new("notice", message));
        assert!(text.contains("\\u009b31m \\u202e \\udb40\\udc41 \u{1f30d}"), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read["message"], message);
    }
}
