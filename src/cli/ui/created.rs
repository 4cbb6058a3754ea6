//! How a new repository is told.

use zeroize::Zeroizing;

use super::{Ui, json, text};
use crate::base::Result;
use crate::base::text::printable;
use crate::cli::embedded::Made;

impl Ui {
    /// Tells what the first backup made, and what it is not.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn embedded_made(&self, made: &Made) -> Result<()> {
        let notice = "This repository is on the same machine as your files, so it is no \
                      protection against losing that disk.";
        if self.json {
            self.secret_json(&json::Initialized {
                message_type: "initialized",
                id: made.id.to_hex(),
                repository: made.location.clone(),
                key_file: made.key_file.as_ref().map(|path| path.display().to_string()),
                recovery_code: Some(&made.recovery_code),
                notice: Some(notice.to_owned()),
            })?;
            return self.flush();
        }
        let location = printable(&made.location);
        self.tell(&format!("created repository {} at {location}", made.id.short()))?;
        if let Some(path) = &made.key_file {
            self.tell(&format!("its key is in {}", text::path(path)))?;
        }
        self.recovery_code(&made.recovery_code)?;
        self.tell(notice)?;
        self.tell("For a copy elsewhere (a directory, or s3://bucket/prefix):")?;
        self.tell("    parados init -r /mnt/disk/backup")?;
        self.tell("    parados backup -r /mnt/disk/backup PATH\n")?;
        self.flush()
    }

    /// Prints a recovery code; also with `--quiet`, because there is no second time.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn recovery_code(&self, code: &str) -> Result<()> {
        let title = "Recovery code (shown only now; write it down and keep it somewhere else):";
        // Two columns more, and it would no longer fit into a line of 80.
        let text = Zeroizing::new(["\n", title, "\n\n  ", code, "\n"].concat());
        self.out_secret(&text)
    }
}
