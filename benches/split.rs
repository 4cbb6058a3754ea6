//! Measures how fast streams split: the kernel beside the reference.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parados::chunk::{GearTable, Params, cut_kernel, cut_reference};

/// 64 MiB: beyond any cache, as files are.
const DATA_LEN: usize = 64 << 20;

type Cut = fn(&[u8], &Params, &GearTable) -> usize;

fn split(criterion: &mut Criterion) {
    let mut data = vec![0; DATA_LEN];
    blake3::Hasher::new().update(b"split").finalize_xof().fill(&mut data);
    let table = GearTable::new(&[7; 32]);
    let params = Params::GENERAL;

    let mut group = criterion.benchmark_group("split");
    group.throughput(Throughput::Bytes(DATA_LEN as u64)).sample_size(20);
    for (name, cut) in [("reference", cut_reference as Cut), ("kernel", cut_kernel as Cut)] {
        group.bench_function(BenchmarkId::new(name, "random, 64 KiB"), |bencher| {
            bencher.iter(|| {
                let (mut rest, mut count) = (data.as_slice(), 0u32);
                while !rest.is_empty() {
                    rest = &rest[cut(black_box(rest), &params, &table)..];
                    count += 1;
                }
                count
            });
        });
    }
    group.finish();
}

criterion_group!(benches, split);
criterion_main!(benches);
