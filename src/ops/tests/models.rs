//! Files of model weights, from headers that tell the truth to headers that lie.

use std::fs;

use super::{World, describe, noise};

/// A safetensors file with this metadata, and the length of its header.
fn safetensors(metadata: &str, tensors: &[Vec<u8>]) -> (Vec<u8>, u64) {
    let mut end = 0;
    let listed: Vec<_> = tensors
        .iter()
        .enumerate()
        .map(|(number, tensor)| {
            let start = end;
            end += tensor.len();
            format!(r#""t{number}":{{"dtype":"U8","shape":[1],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let json = format!(r#"{{"__metadata__":{{"m":"{metadata}"}},{}}}"#, listed.join(","));
    let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let len = header.len() as u64;
    ([header, tensors.concat()].concat(), len)
}

/// Two long tensors with two short ones between.
fn weights() -> Vec<Vec<u8>> {
    [(3 << 20) + 5, 2000, 3000, 1_500_000]
        .into_iter()
        .zip(100..)
        .map(|(len, seed)| noise(seed, len))
        .collect()
}

/// New bytes of data when `after` takes the place of `before`.
fn new_bytes(before: &[u8], after: &[u8]) -> u64 {
    let world = World::new();
    fs::write(world.source().join("model"), before).unwrap();
    world.backup();
    fs::write(world.source().join("model"), after).unwrap();
    let (_, counts) = world.backup();
    let (target, _) = world.restore("target");
    assert!(fs::read(target.join("model")).unwrap() == after);
    counts.progress.new_data_bytes.get()
}

#[test]
fn a_longer_header_of_a_model_stores_only_the_header() {
    let (before, _) = safetensors("", &weights());
    let (after, header_len) = safetensors("8 bytes.", &weights());
    assert_eq!(after.len(), before.len() + 8);
    assert_eq!(new_bytes(&before, &after), header_len);
    // A byte that no tensor covers makes it general data, which finds less of it again.
    let with_more = |file: &[u8]| [file, b"x"].concat();
    assert!(new_bytes(&with_more(&before), &with_more(&after)) > 16 << 10);
}

#[test]
fn a_small_model_is_split_like_a_large_one() {
    let tensors = [noise(1, 300_000), noise(2, 10), noise(3, 400_000)];
    let (before, _) = safetensors("", &tensors);
    let (after, header_len) = safetensors("8 bytes.", &tensors);
    assert_eq!(new_bytes(&before, &after), header_len);
}

#[test]
fn one_changed_tensor_of_a_model_is_stored_alone() {
    let mut tensors = weights();
    let (before, _) = safetensors("", &tensors);
    tensors[3] = noise(200, 1_500_000);
    assert_eq!(new_bytes(&before, &safetensors("", &tensors).0), 1_500_000);
    // One byte costs the chunk on the grid that it lies in.
    let (before, _) = safetensors("", &tensors);
    tensors[0][(1 << 20) + 77] ^= 1;
    assert_eq!(new_bytes(&before, &safetensors("", &tensors).0), 1 << 20);
    // Short neighbors share one.
    let (before, _) = safetensors("", &tensors);
    tensors[1][0] ^= 1;
    assert_eq!(new_bytes(&before, &safetensors("", &tensors).0), 5000);
}

#[test]
fn models_come_back_identical_whatever_their_headers_say() {
    let world = World::new();
    let put = |name: &str, bytes: &[u8]| fs::write(world.source().join(name), bytes).unwrap();
    let (model, header_len) = safetensors("", &weights());
    put("good", &model);
    put("cut-in-header", &model[..100]);
    put("cut-in-tensor", &model[..3_000_000]);
    put("long-header", &safetensors(&"m".repeat(2_500_000), &weights()).0);
    let mut lie = model.clone();
    lie[..8].copy_from_slice(&(header_len - 9).to_le_bytes());
    put("header-too-short", &lie);
    lie[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    put("header-too-long", &lie);
    let text = String::from_utf8_lossy(&model[..header_len as usize]).into_owned();
    let overlap = text.find("[3145733,").expect("the second tensor starts there");
    let mut lie = model.clone();
    lie[overlap + 1..overlap + 8].copy_from_slice(b"1000000");
    put("overlap", &lie);
    let sparse = fs::File::create(world.source().join("sparse")).unwrap();
    sparse.set_len(model.len() as u64).unwrap();
    let (head, tail) = (&model[..100_000], &model[4_000_000..]);
    std::os::unix::fs::FileExt::write_all_at(&sparse, head, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, tail, 4_000_000).unwrap();

    let (_, counts) = world.backup();
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(describe(&target), describe(&world.source()));
    assert_eq!(world.check().findings, []);
}
