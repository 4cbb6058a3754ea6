//! What each step between a chunk and a stored pack costs.
//!
//! `cargo bench --profile dev --bench seal`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use parados::base::{RepositoryId, SessionId};
use parados::format::pack::FrameChunk;
use parados::format::{FrameKind, Suite};
use parados::seal::aead;
use parados::seal::compress::compress_into;
use parados::seal::frame;
use parados::seal::keys::{Key, Keyring, Roots, SessionKey};
use parados::seal::pack::PackBuilder;

/// Raw length of the frame that is worked on.
const FRAME_LEN: usize = 256 << 10;

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"bench").finalize_xof().fill(&mut bytes);
    bytes
}

/// Lines that compress about as logs do.
fn text(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 128);
    let mut n = 0u64;
    while bytes.len() < len {
        let hash = blake3::hash(&n.to_le_bytes());
        let word = hash.to_hex();
        bytes.extend_from_slice(
            format!(
                "2026-11-23 12:{:02} worker {} handled request {}\n",
                n % 60,
                n % 7,
                &word[..8]
            )
            .as_bytes(),
        );
        n += 1;
    }
    bytes.truncate(len);
    bytes
}

fn session(suite: Suite) -> (Keyring, Arc<SessionKey>) {
    let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
    let session = keyring.new_session(SessionId::random(), suite, 0).expect("epoch 0 exists");
    (keyring, session)
}

fn steps(c: &mut Criterion) {
    let (keyring, session_key) = session(Suite::Aes256Gcm);
    let (noise, text) = (noise(FRAME_LEN), text(FRAME_LEN));
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(FRAME_LEN as u64));
    group.bench_function("hash/64KiB", |b| {
        b.iter(|| {
            for chunk in noise.chunks(64 << 10) {
                black_box(keyring.chunk_id(FrameKind::Data, chunk));
            }
        });
    });
    let mut out = Vec::with_capacity(FRAME_LEN);
    for (name, raw) in [("text", &text), ("noise", &noise)] {
        for level in [1, 3] {
            group.bench_function(format!("compress/{name}/{level}"), |b| {
                b.iter(|| {
                    out.clear();
                    black_box(compress_into(raw, level, &mut out));
                });
            });
        }
    }
    let key = Key::random();
    for suite in [Suite::ChaCha20Poly1305, Suite::Aes256Gcm] {
        let mut buffer = noise.clone();
        buffer.reserve(16);
        group.bench_function(format!("aead/{suite:?}"), |b| {
            b.iter(|| {
                aead::seal(suite, &key, 0, b"associated", &mut buffer, 0);
                buffer.truncate(FRAME_LEN);
            });
        });
    }
    let chunks = || {
        let id = keyring.chunk_id(FrameKind::Data, b"x");
        vec![FrameChunk { id, len: FRAME_LEN as u32 }]
    };
    group.bench_function("frame/text", |b| {
        b.iter(|| {
            let id = keyring.repository();
            black_box(frame::seal(id, &session_key, FrameKind::Data, 3, &text, chunks()));
        });
    });
    group.finish();
}

fn packs(c: &mut Criterion) {
    let (keyring, session_key) = session(Suite::Aes256Gcm);
    let raw = noise(FRAME_LEN);
    let id = keyring.chunk_id(FrameKind::Data, &raw);
    let chunk = FrameChunk { id, len: FRAME_LEN as u32 };
    let sealed =
        frame::seal(keyring.repository(), &session_key, FrameKind::Data, 3, &raw, vec![chunk]);
    let mut group = c.benchmark_group("pack");
    group.throughput(Throughput::Bytes(16 << 20));
    group.sample_size(20);
    group.bench_function("fill and finish/16MiB", |b| {
        b.iter(|| {
            let mut builder = PackBuilder::new(Arc::clone(&session_key), 16 << 20);
            while builder.fits(&sealed) {
                builder.push(sealed.clone());
            }
            black_box(builder.finish(true));
        });
    });
    group.finish();
}

criterion_group!(benches, steps, packs);
criterion_main!(benches);
