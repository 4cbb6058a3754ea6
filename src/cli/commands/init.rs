//! `parados init`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::backend::{self, Backend};
use crate::base::text::printable;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::context::{Access, Context};
use crate::cli::embedded::new_recovery_code;
use crate::cli::exit::Outcome;
use crate::cli::key_file;
use crate::cli::pack_size::{pack_len, parse_pack_size};
use crate::cli::secret::{self, Purpose, SecretSource};
use crate::cli::ui::{json, text};
use crate::format::{ObjectKind, Suite};
use crate::ops;
use crate::repo::access::Creation;
use crate::seal::slot::Secret;

/// Make a new repository
///
/// Asks for a passphrase, unless one is given; with `--key-file`, a random key in that file opens
/// the repository, and the file is made if there is none. Also prints a recovery code, once: it
/// opens the repository when the passphrase or the key file is lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cipher of the repository; `auto` measures which is faster here
    #[arg(long, value_enum, default_value_t = Cipher::Auto)]
    cipher: Cipher,

    /// Length of a full pack, at most 128M; a number without unit is in MiB [default: 16] [env:
    /// PARADOS_PACK_SIZE]
    #[arg(long, value_name = "SIZE", value_parser = parse_pack_size)]
    pack_size: Option<u64>,

    /// Make no recovery code
    #[arg(long)]
    no_recovery_code: bool,
}

/// How a repository seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cipher {
    Auto,
    #[value(name = "chacha20poly1305")]
    ChaCha20Poly1305,
    Aes256gcm,
}

impl Cipher {
    fn suite(self) -> Option<Suite> {
        match self {
            Self::Auto => None,
            Self::ChaCha20Poly1305 => Some(Suite::ChaCha20Poly1305),
            Self::Aes256gcm => Some(Suite::Aes256Gcm),
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let Some(location) = &context.settings.location else {
        return Err(Error::new(ErrorKind::Usage, "no location was given for the new repository")
            .hint(
                "Name one with `-r LOCATION`; without any, `parados backup PATH` makes one in \
                 your home directory.",
            ));
    };
    let creation = creation(context, args)?;
    let backend = backend::create(location, &context.backend_options(Access::Write))?;
    refuse_existing(&*backend)?;
    let (secret, key_file) = first_secret(context)?;
    let mut secrets = vec![(secret, context.label("first key"))];
    let mut recovery_code = None;
    if !args.no_recovery_code {
        let (secret, text) = new_recovery_code();
        secrets.push((secret, context.label("recovery code")));
        recovery_code = Some(text);
    }
    let repository = ops::init::init(backend, &secrets, &creation, &context.clock)?;
    let id = repository.config().repository;
    let ui = &context.ui;
    if ui.json {
        ui.secret_json(&json::Initialized {
            message_type: "initialized",
            id: id.to_hex(),
            repository: location.to_string(),
            key_file: key_file.map(|path| path.display().to_string()),
            recovery_code: recovery_code.as_ref().map(|code| code.as_str()),
            notice: None,
        })?;
        return Ok(Outcome::Done);
    }
    let shown = printable(&location.to_string());
    ui.tell(&format!("created repository {} at {shown}", id.short()))?;
    if let Some(path) = key_file {
        let path = text::path(&path);
        ui.tell(&format!("its key is in {path}; keep a copy of that file elsewhere"))?;
    }
    if let Some(code) = recovery_code {
        ui.recovery_code(&code)?;
    }
    ui.tell("Whoever loses every key of a repository has lost what is in it.")?;
    Ok(Outcome::Done)
}

fn creation(context: &Context, args: &Args) -> Result<Creation> {
    let pack_len = pack_len(args.pack_size, &context.environment)?;
    let pack_len = pack_len.unwrap_or(Creation::default().pack_len);
    Ok(Creation { suite: args.cipher.suite(), pack_len, ..Creation::default() })
}

/// Before anybody is asked for a passphrase in vain.
fn refuse_existing(backend: &dyn Backend) -> Result<()> {
    if crate::repo::access::list_names(backend, ObjectKind::Config)?.is_empty() {
        return Ok(());
    }
    let message = format!("there is a repository at {} already", backend.location());
    Err(Error::new(ErrorKind::Exists, message).hint("Use it as it is, or choose another location."))
}

/// The first secret, with the key file it is in.
fn first_secret(context: &Context) -> Result<(Secret, Option<PathBuf>)> {
    let source = context.settings.secret.clone().unwrap_or(SecretSource::Prompt);
    match source {
        SecretSource::KeyFile(path) => {
            let (key, _) = key_file::read_or_make(&path)?;
            Ok((Secret::KeyFile(key), Some(path)))
        }
        SecretSource::RecoveryCode => {
            Err(Error::new(ErrorKind::Usage, "a new repository makes its own recovery code")
                .hint("Leave `--recovery-code` out; the new code is printed."))
        }
        source => {
            let (environment, ui) = (&context.environment, &context.ui);
            Ok((secret::load(&source, Purpose::Make, environment, ui)?, None))
        }
    }
}
