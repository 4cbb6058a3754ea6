//! Text to location and back, without ever printing a credential.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::error::BackendError;
use crate::base::SecretText;

/// Where a repository is.
///
/// Prints the one canonical spelling of a place, which [`Location::parse`] reads back. Credentials
/// that were part of the text are kept for opening, and take no part in printing or comparing.
#[derive(Clone)]
pub struct Location {
    place: Place,
    secrets: Secrets,
}

/// Credentials by parameter name.
pub(super) type Secrets = BTreeMap<String, SecretText>;

/// What a location names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A directory.
    Local(PathBuf),
    /// A bucket of S3 or of something compatible.
    S3(Bucket),
    /// A bucket of Google Cloud Storage.
    Gcs(Bucket),
    /// A container of Azure Blob Storage.
    Azure(Bucket),
    /// A map in this process.
    Memory(String),
}

/// A part of a bucket or container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What all object names start with; no slash at either end, empty for the whole bucket.
    pub prefix: String,
    /// Settings that are part of the place, such as `endpoint`.
    pub parameters: BTreeMap<String, String>,
}

/// Parameters of one scheme: those that belong to the place, and those nobody else may see.
struct Known {
    scheme: &'static str,
    public: &'static [&'static str],
    secret: &'static [&'static str],
    /// The secrets that `user:password@` before the bucket stands for.
    userinfo: [&'static str; 2],
}

const S3: Known = Known {
    scheme: "s3",
    public: &["endpoint", "region", "virtual_hosted"],
    secret: &["access_key_id", "secret_access_key", "session_token"],
    userinfo: ["access_key_id", "secret_access_key"],
};

const GCS: Known = Known {
    scheme: "gs",
    public: &["endpoint", "service_account"],
    secret: &["service_account_key", "bearer_token"],
    userinfo: ["", ""],
};

const AZURE: Known = Known {
    scheme: "az",
    public: &["account", "endpoint"],
    secret: &["account_key", "sas_token"],
    userinfo: ["account", "account_key"],
};

/// Schemes of restic that we do not speak. As a path they would silently become a directory.
const FOREIGN: &[&str] = &["sftp:", "rest:", "b2:", "swift:", "rclone:", "http:", "https:", "ftp:"];

impl Location {
    /// Reads a location: a path, `local:path`, `file:///path`, `s3://bucket/prefix`,
    /// `gs://bucket/prefix`, `az://container/prefix`, `memory:name`, or restic's
    /// `s3:https://host/bucket/prefix`, `gs:bucket:/prefix` and `azure:container:/prefix`.
    ///
    /// A relative path is taken from the current directory.
    ///
    /// # Errors
    /// [`BackendError::Usage`], which repeats nothing that might be a credential.
    pub fn parse(text: &str) -> Result<Self, BackendError> {
        if let Some(rest) = text.strip_prefix("file://") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(usage("a file URL needs an absolute path, as in file:///srv/backup"));
            }
            return Self::local(Path::new(&percent_decode(path)?));
        }
        if let Some(rest) = text.strip_prefix("local:") {
            return Self::local(Path::new(rest));
        }
        if let Some(rest) = text.strip_prefix("memory:") {
            return match rest {
                "" => Err(usage("a location in memory needs a name, as in memory:test")),
                name => Ok(Self::memory(name)),
            };
        }
        if let Some(rest) = text.strip_prefix("s3:") {
            return s3(rest);
        }
        if let Some(rest) = text.strip_prefix("gs:") {
            return bucket_or_restic(&GCS, rest, Place::Gcs);
        }
        if let Some(rest) = text.strip_prefix("az:").or_else(|| text.strip_prefix("azure:")) {
            return bucket_or_restic(&AZURE, rest, Place::Azure);
        }
        let foreign = FOREIGN.iter().find(|scheme| text.starts_with(**scheme));
        let scheme = foreign.map(|s| s.trim_end_matches(':')).or_else(|| {
            text.split_once("://").map(|(scheme, _)| scheme).filter(|s| !s.contains('/'))
        });
        match scheme {
            // Credentials may stand where a scheme should.
            Some(scheme) if !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Err(usage("what stands before :// is no kind of location we know"))
            }
            Some(scheme) => Err(usage(&format!("{scheme:?} is no kind of location we know"))),
            None => Self::local(Path::new(text)),
        }
    }

    /// The directory `path`, made absolute.
    ///
    /// # Errors
    /// When it is empty, or relative and there is no current directory.
    pub fn local(path: &Path) -> Result<Self, BackendError> {
        if path.as_os_str().is_empty() {
            return Err(usage("a location is not empty"));
        }
        let path = std::path::absolute(path)
            .map_err(|e| usage(&format!("{} cannot be made absolute: {e}", path.display())))?;
        // `absolute` keeps a trailing slash, which would give one directory two names.
        Ok(Self::plain(Place::Local(path.components().collect())))
    }

    /// The map `name` in this process.
    pub fn memory(name: &str) -> Self {
        Self::plain(Place::Memory(name.to_owned()))
    }

    fn plain(place: Place) -> Self {
        Self { place, secrets: Secrets::new() }
    }

    /// What it names.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The name of its row in the table of backends.
    pub fn scheme(&self) -> &'static str {
        match self.place {
            Place::Local(_) => "local",
            Place::S3(_) => S3.scheme,
            Place::Gcs(_) => GCS.scheme,
            Place::Azure(_) => AZURE.scheme,
            Place::Memory(_) => "memory",
        }
    }

    /// Whether credentials were part of the text.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Credentials that were part of the text.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = match &self.place {
            Place::Local(path) => return write!(f, "{}", path.display()),
            Place::Memory(name) => return write!(f, "memory:{name}"),
            Place::S3(bucket) | Place::Gcs(bucket) | Place::Azure(bucket) => bucket,
        };
        write!(f, "{}://{}", self.scheme(), bucket.name)?;
        if !bucket.prefix.is_empty() {
            write!(f, "/{}", percent_encode(&bucket.prefix))?;
        }
        for (i, (key, value)) in bucket.parameters.iter().enumerate() {
            let separator = if i == 0 { '?' } else { '&' };
            write!(f, "{separator}{key}={}", percent_encode(value))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Location {}

impl Hash for Location {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
    }
}

impl std::str::FromStr for Location {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// `//bucket/prefix?…`, or restic's `[https://]host[:port]/bucket/prefix`.
fn s3(rest: &str) -> Result<Location, BackendError> {
    if let Some(url) = rest.strip_prefix("//") {
        let (mut bucket, secrets) = bucket_url(&S3, url)?;
        settle_s3_endpoint(&mut bucket)?;
        return Ok(Location { place: Place::S3(bucket), secrets });
    }
    let (scheme, after) = match rest.split_once("://") {
        Some((scheme @ ("http" | "https"), after)) => (scheme, after),
        Some(_) => return Err(usage("an S3 endpoint starts with https:// or http://")),
        None => ("https", rest),
    };
    let (authority, path) = after.split_once('/').unwrap_or((after, ""));
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    let (mut bucket, mut secrets) = bucket_url(&S3, path)?;
    if let Some(userinfo) = userinfo {
        take_userinfo(&S3, userinfo, &mut bucket.parameters, &mut secrets)?;
    }
    bucket.parameters.insert("endpoint".to_owned(), format!("{scheme}://{host}"));
    settle_s3_endpoint(&mut bucket)?;
    Ok(Location { place: Place::S3(bucket), secrets })
}

/// `//bucket/prefix?…`, or restic's `bucket:/prefix`.
fn bucket_or_restic(
    known: &Known,
    rest: &str,
    place: fn(Bucket) -> Place,
) -> Result<Location, BackendError> {
    let (mut bucket, secrets) = match (rest.strip_prefix("//"), rest.split_once(':')) {
        (Some(url), _) => bucket_url(known, url)?,
        (None, Some((name, prefix))) => {
            let url = [name, "/", prefix.trim_start_matches('/')].concat();
            bucket_url(known, SecretText::from(url).expose())?
        }
        (None, None) => return Err(usage("write the bucket as in gs://bucket/prefix")),
    };
    if let Some(endpoint) = bucket.parameters.get_mut("endpoint") {
        *endpoint = canonical_endpoint(endpoint)?;
    }
    Ok(Location { place: place(bucket), secrets })
}

/// `[user:password@]bucket[/prefix][?key=value&…]`.
fn bucket_url(known: &Known, url: &str) -> Result<(Bucket, Secrets), BackendError> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, prefix) = path.split_once('/').unwrap_or((path, ""));
    let mut parameters = BTreeMap::new();
    let mut secrets = Secrets::new();
    let name = match authority.rsplit_once('@') {
        Some((userinfo, name)) => {
            take_userinfo(known, userinfo, &mut parameters, &mut secrets)?;
            name
        }
        None => authority,
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-$".contains(&b);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(usage("the bucket has no name, or a name with forbidden characters"));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // Without a name it may be the rest of a credential that contains `&`.
        let Some((key, value)) = pair.split_once('=') else {
            return Err(usage("a parameter is written as in region=eu-west-1"));
        };
        if known.public.contains(&key) {
            parameters.insert(key.to_owned(), percent_decode(value)?);
        } else if known.secret.contains(&key) {
            secrets.insert(key.to_owned(), percent_decode(value)?.into());
        } else {
            let names = known.public.join(", ");
            return Err(usage(&format!("{key:?} is no parameter; there are {names}")));
        }
    }
    let prefix = canonical_prefix(&percent_decode(prefix)?)?;
    Ok((Bucket { name: name.to_owned(), prefix, parameters }, secrets))
}

fn take_userinfo(
    known: &Known,
    userinfo: &str,
    parameters: &mut BTreeMap<String, String>,
    secrets: &mut Secrets,
) -> Result<(), BackendError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    for (key, value) in known.userinfo.into_iter().zip([user, password]) {
        if value.is_empty() {
            continue;
        }
        if key.is_empty() {
            return Err(usage("this kind of location takes no user and no password"));
        }
        let value = percent_decode(value)?;
        if known.public.contains(&key) {
            parameters.insert(key.to_owned(), value);
        } else {
            secrets.insert(key.to_owned(), value.into());
        }
    }
    Ok(())
}

/// One spelling of each prefix: no empty parts, and nothing that climbs.
fn canonical_prefix(prefix: &str) -> Result<String, BackendError> {
    let parts: Vec<_> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | ".."))
        || prefix.chars().any(|c| c.is_control())
    {
        return Err(usage("the prefix contains `.`, `..` or a control character"));
    }
    Ok(parts.join("/"))
}

/// One spelling of each endpoint: with scheme, in lower case, without default port and path.
fn canonical_endpoint(endpoint: &str) -> Result<String, BackendError> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(usage("an endpoint starts with https:// or http://")),
    };
    if rest.contains('@') {
        return Err(usage("an endpoint contains no user; put it before the bucket"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    let path = path.trim_matches('/');
    match (host, path) {
        ("", _) => Err(usage("the endpoint has no host")),
        (host, "") => Ok(format!("{scheme}://{host}")),
        (host, path) => Ok(format!("{scheme}://{host}/{path}")),
    }
}

/// Amazon's own endpoints are the default, so that `s3:s3.amazonaws.com/b` is `s3://b`.
fn settle_s3_endpoint(bucket: &mut Bucket) -> Result<(), BackendError> {
    let Some(endpoint) = bucket.parameters.remove("endpoint") else {
        return Ok(());
    };
    let endpoint = canonical_endpoint(&endpoint)?;
    let of_amazon = endpoint
        .strip_prefix("https://s3")
        .and_then(|rest| rest.strip_suffix("amazonaws.com"))
        .map(|middle| middle.trim_matches(['.', '-']));
    match of_amazon {
        Some("") => {}
        // Dual-stack, FIPS and other special endpoints have several parts and are kept.
        Some(region) if !region.contains('.') && !region.contains("fips") => {
            bucket.parameters.entry("region".to_owned()).or_insert_with(|| region.to_owned());
        }
        _ => {
            bucket.parameters.insert("endpoint".to_owned(), endpoint);
        }
    }
    Ok(())
}

fn percent_decode(text: &str) -> Result<String, BackendError> {
    let refuse = || usage("a percent sign is followed by two hex digits of UTF-8 text");
    // Never moved while it grows, and wiped where it is refused: it may be a credential.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let mut byte = [0];
        hex::decode_to_slice(tail.get(..2).ok_or_else(refuse)?, &mut byte).map_err(|_| refuse())?;
        bytes.push(byte[0]);
        rest = &tail[2..];
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        error.into_bytes().zeroize();
        refuse()
    })
}

/// Encodes what would end a prefix or a parameter, and what is not plain ASCII.
fn percent_encode(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"%&?#\"".contains(&byte) {
            result.push(byte as char);
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}

fn usage(why: &str) -> BackendError {
    let hint = "A location is a path, `s3://bucket/prefix`, `gs://bucket/prefix` or \
                `az://container/prefix`; write `local:` before a path that looks like another.";
    BackendError::Usage { why: why.to_owned(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Marker;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let location = Location::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(location.to_string(), expect, "{text}");
        let again = Location::parse(expect).expect("what is printed is a location");
        assert_eq!(again, location);
        assert_eq!(again.to_string(), expect);
    }

    #[test]
    fn one_place_has_one_spelling() {
        check("/srv/backup", "/srv/backup");
        check("/srv//./backup/", "/srv/backup");
        check("local:/srv/backup", "/srv/backup");
        check("file:///srv/my%20backup", "/srv/my backup");
        check("memory:x", "memory:x");
        check("s3://bucket", "s3://bucket");
        check("s3://bucket//a//b/", "s3://bucket/a/b");
        check("s3:s3.amazonaws.com/bucket/a", "s3://bucket/a");
        check("s3:https://s3.eu-west-1.amazonaws.com/bucket/a", "s3://bucket/a?region=eu-west-1");
        check("s3:https://host:9000/bucket/a", "s3://bucket/a?endpoint=https://host:9000");
        check("s3:host:443/bucket", "s3://bucket?endpoint=https://host");
        check(
            "s3://bucket/a?region=r&endpoint=http://127.0.0.1:5000/",
            "s3://bucket/a?endpoint=http://127.0.0.1:5000&region=r",
        );
        check("gs://bucket/a", "gs://bucket/a");
        check("gs:bucket:/a", "gs://bucket/a");
        check("az://box/a?account=me", "az://box/a?account=me");
        check("azure:box:/", "az://box");
        check("s3://bucket/a%3Fb%25", "s3://bucket/a%3Fb%25");
    }

    #[test]
    fn credentials_are_kept_but_never_printed() {
        let texts = [
            "s3://AKIA1:se%2Fcret@bucket/a",
            "s3:https://AKIA1:se%2Fcret@host/bucket/a",
            "s3://bucket/a?access_key_id=AKIA1&secret_access_key=se%2Fcret",
            "az://me:se%2Fcret@box",
            "az://box?sas_token=se%2Fcret",
        ];
        for text in texts {
            let location = Location::parse(text).expect("a location");
            assert!(location.has_secrets());
            assert!(location.secrets().values().any(|v| v.expose() == "se/cret"), "{text}");
            for printed in [location.to_string(), format!("{location:?}")] {
                assert!(!printed.contains("cret") && !printed.contains("AKIA1"), "{printed}");
            }
        }
    }

    #[test]
    fn credentials_are_wiped() {
        let [marker, refused, odd] = [Marker::new(), Marker::new(), Marker::new()];
        let text = |parts: [&str; 3]| SecretText::from(parts.concat());
        let (whole, encoded) = (marker.text(), format!("%{:02X}", marker.text().as_bytes()[0]));
        let locations: Vec<_> = [
            text(["s3://AKIA1:", &whole, "@bucket/a"]),
            text(["s3:https://AKIA1:", &whole, "@host/bucket/a"]),
            text(["az://box?sas_token=", &whole, ""]),
            text(["az:box:/?sas_token=", &encoded, &whole[1..]]),
        ]
        .iter()
        .map(|text| Location::parse(text.expose()).expect("a location"))
        .collect();
        drop((whole, encoded));
        let copies = locations.clone();
        for bad in [
            text(["s3://b?secret_access_key=", &refused.text(), "%ff"]),
            text(["gs://user:", &odd.text(), "@bucket"]),
        ] {
            Location::parse(bad.expose()).expect_err("it is none");
        }
        assert!(locations.iter().all(Location::has_secrets) && marker.is_in_memory());
        drop((locations, copies));
        assert_eq!(Marker::in_memory([&marker, &refused, &odd]), [false; 3]);
    }

    #[test]
    fn nonsense_is_refused_and_not_repeated() {
        let texts = [
            "",
            "sftp:user:hunter2@host:/x",
            "rest:https://user:hunter2@host/",
            "foo://hunter2@x",
            "user:hunter2@s3://bucket",
            "az://box?sas_token=?sv=1&hunter2",
            "memory:",
            "s3:",
            "s3://",
            "s3://buc ket",
            "s3://bucket/../x",
            "s3://bucket?password=hunter2",
            "s3://bucket?region=%zz",
            "s3:ftp://hunter2@host/bucket",
            "s3://bucket?endpoint=http://user:hunter2@host",
            "gs://user:hunter2@bucket",
            "gs:bucket",
            "file://host/x",
        ];
        for text in texts {
            let error = Location::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_relative_path_is_made_absolute() {
        let location = Location::parse("backup").expect("a location");
        let Place::Local(path) = location.place() else { panic!("{location} is no path") };
        assert!(path.is_absolute() && path.ends_with("backup"));
    }
}
