//! The client against stores in memory, real servers, ones that answer badly.

#[path = "../../../tests/support/moto.rs"]
mod moto;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use object_store::memory::InMemory;

use self::moto::{Moto, free_port};
use super::open::s3;
use super::patient::Tuning;
use super::*;
use crate::backend::conformance::{self, Planter, Subject};
use crate::backend::location::Place;
use crate::backend::{Options, Verified, create_verified};
use crate::base::PackId;
use crate::base::testing::skip;

fn planter(store: Arc<dyn ObjectStore>, prefix: String) -> Planter {
    Box::new(move |name, bytes| {
        let path = Path::parse(format!("{prefix}/{name}")).expect("a path");
        let runtime = RUNTIME.as_ref().expect("a runtime");
        let payload = PutPayload::from(Bytes::copy_from_slice(bytes));
        runtime.block_on(store.put(&path, payload)).expect("planted");
    })
}

/// Both clients are the same where nothing fails in passing.
fn both(store: Arc<dyn ObjectStore>) -> Clients {
    Clients { patient: Arc::clone(&store), once: store }
}

#[test]
fn a_bucket_conforms() {
    let location = Location::parse("s3://bucket/some/prefix").expect("a location");
    conformance::check(&|| {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let plant = planter(Arc::clone(&store), "some/prefix".to_owned());
        let backend = Cloud::new(&location, both(store), "some/prefix").expect("opened");
        Subject { backend, plant }
    });
}

#[test]
fn a_bucket_without_prefix_conforms() {
    let location = Location::parse("s3://bucket").expect("a location");
    conformance::check(&|| {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let plant = planter(Arc::clone(&store), String::new());
        Subject { backend: Cloud::new(&location, both(store), "").expect("opened"), plant }
    });
}

#[test]
fn two_repositories_in_one_bucket_do_not_see_each_other() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let location = Location::parse("s3://bucket").expect("a location");
    let open = |prefix| Cloud::new(&location, both(Arc::clone(&store)), prefix).expect("opened");
    let (one, other, root) = (open("a"), open("ab"), open(""));
    one.put(&ObjectName::config(1), &Sealed::from_store(Bytes::new())).expect("created");
    for stranger in [other, root] {
        assert!(stranger.stat(&ObjectName::config(1)).expect_err("not ours").is_not_found());
        stranger.list(ObjectKind::Config, &mut |found| panic!("{found:?}")).expect("listed");
    }
}

/// A server, unless there is none here.
fn start_moto() -> Option<Moto> {
    Moto::start().map_err(|why| skip("S3 against a server", why)).ok()
}

fn credentials() -> Options {
    let config = [("aws_access_key_id", "key"), ("aws_secret_access_key", "secret")];
    let config = config.map(|(key, value)| (key.to_owned(), value.into())).into();
    Options { writable: true, config, ..Options::default() }
}

#[test]
fn s3_conforms() {
    let Some(moto) = start_moto() else { return };
    moto.make_bucket("bucket");
    let serial = AtomicU32::new(0);
    let open = |prefix: &str| {
        let url = format!("s3:http://127.0.0.1:{}/bucket/{prefix}", moto.port);
        let location = Location::parse(&url).expect("a location");
        crate::backend::open(&location, &credentials()).expect("opened")
    };
    conformance::check(&|| {
        let prefix = format!("run/{}", serial.fetch_add(1, Ordering::Relaxed));
        let builder = object_store::aws::AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", moto.port))
            .with_allow_http(true)
            .with_bucket_name("bucket")
            .with_access_key_id("key")
            .with_secret_access_key("secret");
        let backend = open(&prefix);
        Subject { backend, plant: planter(Arc::new(builder.build().expect("built")), prefix) }
    });
    let url = format!("s3:http://127.0.0.1:{}/absent", moto.port);
    let location = Location::parse(&url).expect("a location");
    let absent = crate::backend::open(&location, &credentials()).expect("opened");
    let name = ObjectName::config(1);
    let errors = [
        absent.get(&name).expect_err("no bucket"),
        absent.put(&name, &Sealed::from_store(Bytes::new())).expect_err("no bucket"),
        absent.list(ObjectKind::Config, &mut |_| {}).expect_err("no bucket"),
    ];
    for error in errors {
        assert!(matches!(error, BackendError::NoRepository { .. }), "{error:?}");
    }
}

/// A server that gives every request the answer that `answer` gives for its number.
fn stub(answer: impl Fn(u32) -> String + Send + 'static) -> Arc<Cloud> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for (n, stream) in (0..).zip(listener.incoming()) {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(len) => request.extend_from_slice(&buffer[..len]),
                }
            }
            drop(stream.write_all(answer(n).as_bytes()));
        }
    });
    impatient(port)
}

fn impatient(port: u16) -> Arc<Cloud> {
    let url = format!("s3:http://127.0.0.1:{port}/bucket");
    let location = Location::parse(&url).expect("a location");
    let Place::S3(bucket) = location.place() else { panic!("{location} is no bucket") };
    let tuning = Tuning {
        stall: Duration::from_millis(500),
        retry_count: 1,
        retry_max: Duration::from_secs(5),
    };
    s3(&location, bucket, &credentials(), &tuning).expect("opened")
}

fn reply(status: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

#[track_caller]
fn check(status: &'static str, body: &'static str, expect: fn(&BackendError) -> bool) {
    let cloud = stub(move |_| reply(status, body));
    let name = ObjectName::config(1);
    let sealed = Sealed::from_store(Bytes::from_static(b"body"));
    let error = cloud.put(&name, &sealed).expect_err(status);
    assert!(expect(&error), "{status}: {error:?}");
    assert_eq!(error.object(), Some(&name));
}

#[test]
fn answers_of_a_server_become_what_a_caller_can_act_on() {
    check("507 Insufficient Storage", "", |e| matches!(e, BackendError::Full { .. }));
    check("403 Forbidden", "<Error><Code>QuotaExceeded</Code></Error>", |e| {
        matches!(e, BackendError::Full { .. })
    });
    check("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>", |e| {
        matches!(e, BackendError::Access { .. })
    });
    check("401 Unauthorized", "", |e| matches!(e, BackendError::Access { .. }));
    check("503 Slow Down", "", BackendError::is_transient);
    check("429 Too Many Requests", "", BackendError::is_transient);
    check("501 Not Implemented", "", |e| matches!(e, BackendError::Unsupported { .. }));
    check("404 Not Found", "", |e| matches!(e, BackendError::NoRepository { .. }));
    check("400 Bad Request", "", |e| matches!(e, BackendError::Other { .. }));
    check("nonsense", "", BackendError::is_transient);
}

#[test]
fn nobody_at_home_is_offline() {
    let cloud = impatient(free_port());
    let errors = [
        cloud.get(&ObjectName::config(1)).expect_err("nobody"),
        cloud.list(ObjectKind::Pack, &mut |_| {}).expect_err("nobody"),
        cloud.delete(&ObjectName::config(1)).expect_err("nobody"),
    ];
    for error in errors {
        assert!(error.is_transient(), "{error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let cloud = impatient(listener.local_addr().expect("an address").port());
    let error = cloud.get(&ObjectName::config(1)).expect_err("silence");
    assert!(error.is_transient(), "{error:?}");
}

#[test]
fn a_lost_reply_to_a_create_is_found_to_be_our_own_object() {
    // The first answer is lost after the server did its work; the retry says 412, and a read gives
    // what was stored.
    let cloud = stub(|n| match n {
        0 => reply("500 Internal Server Error", ""),
        1 => reply("412 Precondition Failed", ""),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"x\"\r\nConnection: close\r\n\
              Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\nbody"
            .to_owned(),
    });
    let sealed = Sealed::from_store(Bytes::from_static(b"body"));
    let verified = create_verified(&*cloud, &ObjectName::config(1), &sealed);
    assert_eq!(verified.expect("verified"), Verified::AlreadyOurs);
}

#[test]
fn a_pack_is_asked_for_once_and_all_else_again() {
    let sealed = Sealed::from_store(Bytes::from_static(b"body"));
    let busy_at_first = |n| match n {
        0 => reply("503 Slow Down", ""),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"x\"\r\nConnection: close\r\n\r\n"
            .to_owned(),
    };
    let pack = ObjectName::pack(PackId::new([1; 32]));
    let error = stub(busy_at_first).put(&pack, &sealed).expect_err("busy");
    assert!(error.is_transient(), "{error:?}");
    let config = stub(busy_at_first).put(&ObjectName::config(1), &sealed);
    assert_eq!(config.expect("created"), Put::Created);
}

#[test]
fn the_location_wins_over_the_environment() {
    let mut options = credentials();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it has an address").port();
    let extra = [
        ("aws_endpoint_url_s3", "http://192.0.2.1:1"),
        ("aws_endpoint_url", "http://192.0.2.1:1"),
        ("aws_bucket", "other"),
        ("aws_conditional_put", "disabled"),
        ("timeout", "1ms"),
        ("token", "stray"),
    ];
    options.config.extend(extra.map(|(key, value)| (key.to_owned(), value.into())));
    let url = format!("s3:http://127.0.0.1:{port}/bucket");
    let location = Location::parse(&url).expect("a location");
    let Place::S3(bucket) = location.place() else { panic!("{location} is no bucket") };
    let tuning = Tuning {
        stall: Duration::from_millis(500),
        retry_count: 0,
        retry_max: Duration::from_secs(1),
    };
    let cloud = s3(&location, bucket, &options, &tuning).expect("opened");
    let sealed = Sealed::from_store(Bytes::new());
    let asked = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("somebody calls");
        let mut request = [0; 256];
        let len = std::io::Read::read(&mut connection, &mut request).expect("it says something");
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    cloud.put(&ObjectName::config(1), &sealed).expect_err("nobody answers");
    // Whoever listens in vain is let go.
    let _refused = std::net::TcpStream::connect(("127.0.0.1", port));
    let asked = asked.join().expect("it listens to the end");
    assert!(asked.starts_with("PUT /bucket/config/1 "), "{asked}");
}

#[test]
fn a_credential_that_is_refused_is_not_repeated() {
    for text in [
        "gs://bucket?service_account_key=%22hunter2%22",
        "gs://bucket?service_account_key={%22private_key%22:[%22hunter2%22]}",
        "az://me:hunter2!@box",
        "az://box?account=me&sas_token=hunter2",
    ] {
        let location = Location::parse(text).expect("a location");
        let error = crate::backend::open(&location, &Options::default()).err();
        let error = error.unwrap_or_else(|| panic!("{text} opens"));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn every_provider_opens_without_a_request() {
    let key = r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}"#;
    let config = [
        ("google_service_account_key", key),
        ("azure_storage_account_name", "account"),
        ("azure_storage_account_key", "a2V5"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "secret"),
    ];
    let config = config.map(|(key, value)| (key.to_owned(), value.into())).into();
    let options = Options { config, ..Options::default() };
    for text in ["gs://bucket/a", "az://box/a", "s3://bucket/a?region=eu-west-1"] {
        let location = Location::parse(text).expect("a location");
        let backend = crate::backend::open(&location, &options);
        assert_eq!(backend.expect("opened").location().to_string(), text);
    }
}
