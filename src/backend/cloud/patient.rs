//! Patience with a network: no limit for what moves, a short one for what stalls.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{ClientConfigKey, ClientOptions, RetryConfig};

use crate::backend::OBJECT_LEN_MAX;
use crate::base::size::KIB;

/// No byte for this long means that nobody is there any more.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The slowest line on which an upload is not yet given up, in bytes a second.
const RATE_MIN: u64 = 16 * KIB;

/// Bodies up to this length get no allowance for a slow line beyond [`STALL_MAX`].
const SMALL_BODY_LEN: usize = 64 * KIB as usize;

/// Time to set up a connection, including TLS over a slow line.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// Attempts after the first; their pauses grow from 0.1 s to 15 s, within [`RETRY_MAX`].
const RETRY_COUNT: usize = 10;

/// Retrying ends here: signatures and credentials of a request are made once and expire after
/// five minutes.
const RETRY_MAX: Duration = Duration::from_secs(180);

/// How long to wait and how often to try; tests are less patient.
pub(super) struct Tuning {
    /// No byte for this long ends an attempt.
    pub(super) stall: Duration,
    /// Attempts after the first.
    pub(super) retry_count: usize,
    /// No attempt starts later than this after the first.
    pub(super) retry_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { stall: STALL_MAX, retry_count: RETRY_COUNT, retry_max: RETRY_MAX }
    }
}

impl Tuning {
    /// Settings of the HTTP client.
    pub(super) fn client(&self, allow_http: bool) -> ClientOptions {
        ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT_MAX)
            .with_allow_http(allow_http)
            .with_config(
                ClientConfigKey::UserAgent,
                concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")),
            )
    }

    /// When to try again.
    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig {
            max_retries: self.retry_count,
            retry_timeout: self.retry_max,
            ..RetryConfig::default()
        }
    }
}

/// Makes HTTP clients that give up what stalls, the argument being how long.
///
/// The read time-out of the client runs from the start of a request to the first byte of the
/// answer, hence over the whole upload: it must be short for what asks and long for what sends.
#[derive(Debug)]
pub(super) struct Patient(pub(super) Duration);

impl HttpConnector for Patient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let connect = |read_max: Duration| {
            let options = match options.get_config_value(&ClientConfigKey::ReadTimeout) {
                Some(_) => options.clone(),
                None => options.clone().with_read_timeout(read_max),
            };
            ReqwestConnector::default().connect(&options)
        };
        let send_max = self.0 + Duration::from_secs(OBJECT_LEN_MAX / RATE_MIN);
        let (asks, sends) = (connect(self.0)?, connect(send_max)?);
        Ok(HttpClient::new(PatientClient { asks, sends, stall: self.0 }))
    }
}

#[derive(Debug)]
struct PatientClient {
    asks: HttpClient,
    sends: HttpClient,
    stall: Duration,
}

impl HttpService for PatientClient {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let len = request.body().content_length();
            if len <= SMALL_BODY_LEN {
                return self.asks.execute(request).await;
            }
            let limit = self.stall + Duration::from_secs(len as u64 / RATE_MIN);
            match tokio::time::timeout(limit, self.sends.execute(request)).await {
                Ok(result) => result,
                Err(elapsed) => Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
            }
        })
    }
}
