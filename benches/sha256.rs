//! Which SHA-256 hashes leaves, tree nodes and sealed parts: the `sha2` crate against `aws-lc-rs`, in the sizes the log has.
//! Not a test of the log.
//! Same work each run; prints the median of five rounds, `cargo bench --bench sha256`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use sha2::{Digest as _, Sha256};

/// A tree's node, a leaf, a small sealed part, a large one.
const SIZES: [usize; 5] = [65, 169, 1024, 4096, 16_384];
const ROUNDS: usize = 5;
/// How much is hashed in one round, in bytes.
const ROUND_BYTES: usize = 64 << 20;

fn main() {
    println!("{:>8} {:>14} {:>10} {:>10} {:>8}", "bytes", "crate", "ns/hash", "MB/s", "ratio");
    for bytes in SIZES {
        let content = vec![5; bytes];
        assert_eq!(aws_lc(&content), sha2(&content), "both must do the same");
        let ours = median(&content, aws_lc);
        for (name, time) in [("aws-lc-rs", ours), ("sha2", median(&content, sha2))] {
            let nanos = time.as_nanos() as f64 / (ROUND_BYTES / bytes) as f64;
            let ratio = time.as_secs_f64() / ours.as_secs_f64();
            println!("{bytes:>8} {name:>14} {nanos:>10.0} {:>10.0} {ratio:>8.2}", bytes as f64 / nanos * 1e3);
        }
    }
}

fn aws_lc(content: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, content).as_ref());
    hash
}

fn sha2(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

fn median(content: &[u8], hash: impl Fn(&[u8]) -> [u8; 32]) -> Duration {
    let mut times: Vec<Duration> = (0..=ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUND_BYTES / content.len() {
                black_box(hash(black_box(content)));
            }
            start.elapsed()
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}
