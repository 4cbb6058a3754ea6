//! From a location and settings to a client of a provider.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

use super::patient::{Patient, Tuning};
use super::{Clients, Cloud};
use crate::backend::error::BackendError;
use crate::backend::location::{Bucket, Location, Place};
use crate::backend::{Backend, Options};
use crate::base::SecretText;

/// Settings by name, some of them credentials. What `object_store` makes of them is not wiped.
type Settings = Vec<(String, SecretText)>;

/// Opens a bucket of S3 or of something that speaks its language.
pub(in crate::backend) fn open_s3(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    let Place::S3(bucket) = location.place() else {
        unreachable!("the table of backends opens only S3 locations here")
    };
    Ok(s3(location, bucket, options, &Tuning::default())?)
}

/// Opens a bucket of Google Cloud Storage.
pub(in crate::backend) fn open_gcs(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    let Place::Gcs(bucket) = location.place() else {
        unreachable!("the table of backends opens only GCS locations here")
    };
    let tuning = Tuning::default();
    let settings = settings(location, options, "google_");
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(tuning.client(allows_http(&settings)))
        .with_http_connector(Patient(tuning.stall))
        .with_bucket_name(&bucket.name);
    for (key, value) in &settings {
        let key = match key.as_str() {
            "endpoint" => GoogleConfigKey::BaseUrl,
            "bucket" | "bucket_name" => continue,
            key => match key.parse() {
                Ok(key) => key,
                Err(_) => continue,
            },
        };
        builder = builder.with_config(key, value.expose());
    }
    let clients = clients(&tuning, |retry| builder.clone().with_retry(retry).build())
        .map_err(|e| misconfigured(location, &told(&settings, &e)))?;
    Ok(Cloud::new(location, clients, &bucket.prefix)?)
}

/// Opens a container of Azure Blob Storage.
pub(in crate::backend) fn open_azure(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    let Place::Azure(bucket) = location.place() else {
        unreachable!("the table of backends opens only Azure locations here")
    };
    let tuning = Tuning::default();
    let settings = settings(location, options, "azure_");
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(tuning.client(allows_http(&settings)))
        .with_http_connector(Patient(tuning.stall))
        .with_container_name(&bucket.name);
    for (key, value) in &settings {
        let key = match key.as_str() {
            "account" => AzureConfigKey::AccountName,
            "container_name" => continue,
            key => match key.parse().or_else(|_| format!("azure_{key}").parse()) {
                Ok(key) => key,
                Err(_) => continue,
            },
        };
        builder = builder.with_config(key, value.expose());
    }
    let clients = clients(&tuning, |retry| builder.clone().with_retry(retry).build())
        .map_err(|e| misconfigured(location, &told(&settings, &e)))?;
    Ok(Cloud::new(location, clients, &bucket.prefix)?)
}

/// As [`open_s3`], with a patience of the caller's choice.
pub(super) fn s3(
    location: &Location,
    bucket: &Bucket,
    options: &Options,
    tuning: &Tuning,
) -> Result<Arc<Cloud>, BackendError> {
    let settings = settings(location, options, "aws_");
    let own_endpoint = bucket.parameters.contains_key("endpoint");
    let mut builder = AmazonS3Builder::new()
        .with_client_options(tuning.client(allows_http(&settings)))
        .with_http_connector(Patient(tuning.stall))
        .with_bucket_name(&bucket.name)
        // The store checks what arrives, so that a bit that flips on the way is not stored.
        .with_checksum_algorithm(Checksum::SHA256)
        // One plain DELETE an object: not everything that speaks S3 knows bulk deletes.
        .with_disable_bulk_delete(true);
    for (key, value) in &settings {
        let key = match key.as_str() {
            "virtual_hosted" => AmazonS3ConfigKey::VirtualHostedStyleRequest,
            "bucket" | "bucket_name" => continue,
            // Create-if-absent is what everything above stands on.
            "conditional_put" => continue,
            // It would win over the endpoint of the location.
            "endpoint_url_s3" if own_endpoint => continue,
            key => match key.parse().or_else(|_| format!("aws_{key}").parse()) {
                Ok(key) => key,
                Err(_) => continue,
            },
        };
        builder = builder.with_config(key, value.expose());
    }
    let clients = clients(tuning, |retry| builder.clone().with_retry(retry).build())
        .map_err(|e| misconfigured(location, &e.to_string()))?;
    Cloud::new(location, clients, &bucket.prefix)
}

/// Both clients that a place needs.
fn clients<S: ObjectStore>(
    tuning: &Tuning,
    build: impl Fn(RetryConfig) -> object_store::Result<S>,
) -> object_store::Result<Clients> {
    let once = RetryConfig { max_retries: 0, ..tuning.retry() };
    Ok(Clients { patient: Arc::new(build(tuning.retry())?), once: Arc::new(build(once)?) })
}

/// Everything that was said about a location, weakest first: environment, then the location
/// itself. Keys lose the prefix of their provider, and of other keys only those of the HTTP client
/// pass, so that a stray `TOKEN` of the environment means nothing.
fn settings(location: &Location, options: &Options, prefix: &str) -> Settings {
    let environment = options.config.iter().filter_map(|(key, value)| {
        let key = match key.strip_prefix(prefix) {
            Some(key) => key,
            None if key.parse::<ClientConfigKey>().is_ok() => key,
            None => return None,
        };
        // A total time-out would break long uploads; nobody sets one for us on purpose.
        (key != "timeout").then(|| (key.to_owned(), value.clone()))
    });
    let (Place::S3(bucket) | Place::Gcs(bucket) | Place::Azure(bucket)) = location.place() else {
        unreachable!("only buckets have settings")
    };
    let own = bucket.parameters.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
    let secrets = location.secrets().iter().map(|(key, value)| (key.clone(), value.clone()));
    environment.chain(own).chain(secrets).collect()
}

/// Whoever writes `http://` means it.
fn allows_http(settings: &Settings) -> bool {
    let is_endpoint = |key: &str| {
        matches!(
            key,
            "endpoint" | "endpoint_url" | "endpoint_url_s3" | "storage_endpoint" | "base_url"
        )
    };
    settings.iter().any(|(key, value)| is_endpoint(key) && value.expose().starts_with("http://"))
}

/// What may be said of an error. `object_store` parses keys of accounts, and repeats pieces of
/// those that it does not understand.
fn told(settings: &Settings, error: &object_store::Error) -> String {
    let words = ["service_account", "account_key", "access_key", "master_key"];
    match settings.iter().any(|(key, _)| words.iter().any(|word| key.contains(word))) {
        true => "a credential or a setting is not what it should be".to_owned(),
        false => error.to_string(),
    }
}

/// A location or setting that `object_store` does not accept.
pub(super) fn misconfigured(location: &Location, why: &str) -> BackendError {
    BackendError::Usage {
        why: format!("could not use {location}: {why}"),
        hint: Some(
            "Check the credentials and settings in the environment, such as AWS_ACCESS_KEY_ID."
                .to_owned(),
        ),
    }
}
