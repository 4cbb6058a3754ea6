//! The options that limit what is asked of a backend.

use std::num::NonZeroU64;

use crate::backend::Limits;
use crate::base::size::KIB;

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct LimitFlags {
    /// Send at most so many KiB in a second, on average: each object goes at once, then there is a
    /// pause
    #[arg(long, global = true, value_name = "KIB")]
    limit_upload: Option<u64>,

    /// Receive at most so many KiB in a second, on average over requests
    #[arg(long, global = true, value_name = "KIB")]
    limit_download: Option<u64>,

    /// Make at most so many requests in a second
    #[arg(long, global = true, value_name = "N")]
    limit_requests: Option<u64>,
}

impl LimitFlags {
    /// What is meant; 0 stands for no limit, as in restic.
    pub(crate) fn limits(&self) -> Limits {
        let bytes = |kib: Option<u64>| NonZeroU64::new(kib?.saturating_mul(KIB));
        Limits {
            upload_bytes: bytes(self.limit_upload),
            download_bytes: bytes(self.limit_download),
            requests: self.limit_requests.and_then(NonZeroU64::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_kib_and_zero_is_none() {
        let flags = LimitFlags {
            limit_upload: Some(2),
            limit_download: Some(0),
            limit_requests: Some(u64::MAX),
        };
        let limits = flags.limits();
        assert_eq!(limits.upload_bytes.map(NonZeroU64::get), Some(2048));
        assert_eq!(limits.download_bytes, None);
        assert_eq!(limits.requests.map(NonZeroU64::get), Some(u64::MAX));
        assert_eq!(LimitFlags::default().limits(), Limits::default());
    }
}
