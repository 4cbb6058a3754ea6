//! Moto, a stand-in for S3 that ends with its test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// What Python reads at its start.
///
/// Moto looks whether an object is there and then stores it: between the two Python may turn to
/// another thread, and a create that is conditional at S3 has two winners. So no thread gives way
/// before it waits for input or output, of which there is none between those two. For each request
/// it lists the directory of its modules, one request at a time; that is done once.
const AT_START: &str = "\
import sys
sys.setswitchinterval(1000)
try:
    from moto import backends
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
except ImportError:
    pass
";

/// A server on this machine alone.
pub(crate) struct Moto {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    /// Keeps what Python reads at its start.
    _scratch: TempDir,
}

impl Moto {
    /// Starts one, or says why there is none.
    pub(crate) fn start() -> Result<Self, &'static str> {
        let port = free_port();
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::write(scratch.path().join("sitecustomize.py"), AT_START).expect("written");
        let child = Command::new("moto_server")
            .env("PYTHONPATH", scratch.path())
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|_| "there is no moto_server (`.ci/setup --test` installs it)")?;
        let mut moto = Self { child, port, _scratch: scratch };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(moto);
            }
            if moto.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err("moto_server ended at once");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("moto_server did not listen within a minute");
    }

    /// Makes a bucket.
    pub(crate) fn make_bucket(&self, name: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
