//! Measures how fast a million chunks are indexed, found and missed.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parados::base::{ChunkId, PackId, RepositoryId, SegmentId, SessionId};
use parados::format::pack::{Origin, WRAP_DERIVED};
use parados::format::segment::{Fence, SegmentEntry, SegmentFrame, SegmentPack};
use parados::format::{Codec, FrameKind, Suite};
use parados::index::{Alive, Cache, CacheOptions, Index, Segment};

/// Segments, each of 250 packs with 256 chunks of 64 KiB: together a million chunks, 61 GiB.
const SEGMENT_COUNT: u64 = 16;
const PACK_COUNT: u64 = 250;
const CHUNK_COUNT: u64 = 256;
/// Ids in a lookup.
const LOOKUP_COUNT: usize = 4096;

fn hash(kind: u8, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]).update(&number.to_le_bytes());
    *hasher.finalize().as_bytes()
}

fn segment(number: u64) -> Segment {
    let frame = SegmentFrame {
        sealed_len: 60_000,
        raw_len: 262_144,
        codec: Codec::Zstd,
        kind: FrameKind::Data,
        origin: 0,
    };
    let origin = Origin {
        session: SessionId::new(hash(0, number)),
        suite: Suite::Aes256Gcm,
        epoch: 0,
        wrap: WRAP_DERIVED,
        wrapped: Vec::new(),
        commitment: hash(1, number),
    };
    let packs = (0..PACK_COUNT)
        .map(|pack| SegmentPack {
            id: PackId::new(hash(2, number * PACK_COUNT + pack)),
            len: 16 << 20,
            frames: vec![frame; 64],
        })
        .collect();
    let mut entries: Vec<_> = (0..PACK_COUNT * CHUNK_COUNT)
        .map(|n| SegmentEntry {
            id: ChunkId::new(hash(3, number * PACK_COUNT * CHUNK_COUNT + n)),
            pack: (n / CHUNK_COUNT) as u32,
            frame: (n % CHUNK_COUNT / 4) as u32,
            offset: (n % 4) as u32 * 65_536,
            len: 65_536,
        })
        .collect();
    entries.sort_unstable();
    Segment { fence: Fence { origins: vec![origin], packs, ..Fence::default() }, entries }
}

fn index(criterion: &mut Criterion) {
    let segments: Vec<_> = (0..SEGMENT_COUNT).map(segment).collect();
    let batch: Vec<_> =
        (0..).zip(&segments).map(|(n, segment)| (SegmentId::new(hash(4, n)), segment)).collect();
    let total = SEGMENT_COUNT * PACK_COUNT * CHUNK_COUNT;
    let repository = RepositoryId::new([1; 32]);
    let open = || {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let options = CacheOptions::new(Some(dir.path().to_owned()), repository);
        (Cache::open(options).0, dir)
    };

    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(total)).sample_size(10);
    let mut fill = |name, make: &dyn Fn() -> (Cache, Option<tempfile::TempDir>)| {
        group.bench_function(BenchmarkId::new("fill with 1 M chunks", name), |bencher| {
            bencher.iter_batched(
                make,
                |cache| {
                    cache.0.index().apply_many(&batch).expect("the disk has room");
                    cache
                },
                BatchSize::PerIteration,
            );
        });
    };
    fill("memory", &|| (Cache::memory(repository), None));
    fill("local", &|| {
        let (cache, dir) = open();
        (cache, Some(dir))
    });

    let memory = Cache::memory(repository);
    memory.index().apply_many(&batch).expect("memory suffices");
    // In one file, as after a rebuild, and in one file for each segment, as after many runs.
    let (whole, _whole_dir) = open();
    whole.index().apply_many(&batch).expect("the disk has room");
    let (parts, _parts_dir) = open();
    for (id, segment) in &batch {
        parts.index().apply(*id, segment).expect("the disk has room");
    }
    group.throughput(Throughput::Elements(LOOKUP_COUNT as u64)).sample_size(50);
    for (name, cache) in
        [("memory", &memory), ("local, one file", &whole), ("local, sixteen segments", &parts)]
    {
        let index = cache.index();
        let listed: Vec<_> = packs(index);
        let alive = Alive::new(index, listed.into_iter(), &index.segments().expect("it reads"))
            .expect("it reads");
        for (kind, start) in [("hit", 0), ("miss", total)] {
            let mut round = 0u64;
            group.bench_function(BenchmarkId::new(format!("4096 × {kind}"), name), |bencher| {
                bencher.iter_batched(
                    || {
                        round += 1;
                        let number =
                            |n| hash(5, round << 32 | n)[0..8].try_into().map(u64::from_le_bytes);
                        (0..LOOKUP_COUNT as u64)
                            .map(|n| number(n).expect("eight bytes") % total + start)
                            .map(|n| ChunkId::new(hash(3, n)))
                            .collect::<Vec<_>>()
                    },
                    |ids| index.find_alive(black_box(&ids), &alive).expect("it reads"),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn packs(index: &dyn Index) -> Vec<(PackId, u64)> {
    let mut packs = Vec::new();
    index.packs(&mut |_, id, len| packs.push((*id, len))).expect("it reads");
    packs
}

criterion_group!(benches, index);
criterion_main!(benches);
