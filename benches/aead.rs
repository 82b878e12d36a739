//! Which AES-256-GCM seals records: the `aes-gcm` crate against `aws-lc-rs`, with a fresh key for each record as the
//! log has it, and with one key for all. Not a test of the log.
//! Same work each run (fixed keys, nonces, contents); prints the median of five rounds, `cargo bench --bench aead`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const SIZES: [usize; 4] = [256, 1024, 4096, 16_384];
const ROUNDS: usize = 5;
/// How much is sealed in one round, in bytes.
const ROUND_BYTES: usize = 64 << 20;
const AAD: [u8; 100] = [3; 100];

fn main() {
    println!("{:>8} {:>10} {:>14} {:>10} {:>10} {:>8}", "bytes", "key", "crate", "ns/record", "MB/s", "ratio");
    for bytes in SIZES {
        for (key, fresh) in [("fresh", true), ("one", false)] {
            assert_eq!(sealed_by_aes_gcm(bytes), sealed_by_aws_lc(bytes), "both must do the same");
            let ours = median(bytes, |content, n| aws_lc(content, n, fresh));
            let theirs = median(bytes, |content, n| aes_gcm(content, n, fresh));
            for (name, time) in [("aws-lc-rs", ours), ("aes-gcm", theirs)] {
                let nanos = time.as_nanos() as f64 / records(bytes) as f64;
                let ratio = time.as_secs_f64() / ours.as_secs_f64();
                println!(
                    "{bytes:>8} {key:>10} {name:>14} {nanos:>10.0} {:>10.0} {ratio:>8.2}",
                    bytes as f64 / nanos * 1e3
                );
            }
        }
    }
}

fn records(bytes: usize) -> usize {
    ROUND_BYTES / bytes
}

fn median(bytes: usize, seal: impl Fn(&mut [u8], u64)) -> Duration {
    let mut content = vec![5; bytes];
    let mut times: Vec<Duration> = (0..=ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..records(bytes) as u64).for_each(|n| seal(black_box(&mut content), n));
            start.elapsed()
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn key(n: u64, fresh: bool) -> [u8; 32] {
    let mut key = [7; 32];
    if fresh {
        key.iter_mut().zip(n.to_le_bytes()).for_each(|(byte, n)| *byte = n);
    }
    key
}

fn nonce(n: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().zip(n.to_le_bytes()).for_each(|(byte, n)| *byte = n);
    nonce
}

thread_local! {
    static AWS_LC: LessSafeKey = aws_lc_key(0, false);
    static AES_GCM: Aes256Gcm = Aes256Gcm::new(&Key::<Aes256Gcm>::from(key(0, false)));
}

fn aws_lc_key(n: u64, fresh: bool) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key(n, fresh)).expect("an AES-256 key has 32 bytes"))
}

fn aws_lc(content: &mut [u8], n: u64, fresh: bool) {
    let seal = |key: &LessSafeKey, content: &mut [u8]| {
        let nonce = Nonce::assume_unique_for_key(nonce(n));
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(AAD), content).expect("it is short enough");
        black_box(tag.as_ref().first());
    };
    if fresh { seal(&aws_lc_key(n, true), content) } else { AWS_LC.with(|key| seal(key, content)) }
}

fn aes_gcm(content: &mut [u8], n: u64, fresh: bool) {
    let seal = |cipher: &Aes256Gcm, content: &mut [u8]| {
        let nonce = nonce(n).into();
        black_box(cipher.encrypt_inout_detached(&nonce, &AAD, content.into()).expect("it is short enough"));
    };
    if fresh {
        seal(&Aes256Gcm::new(&Key::<Aes256Gcm>::from(key(n, true))), content);
    } else {
        AES_GCM.with(|cipher| seal(cipher, content));
    }
}

fn sealed_by_aws_lc(bytes: usize) -> Vec<u8> {
    let mut content = vec![5; bytes];
    aws_lc(&mut content, 1, true);
    content
}

fn sealed_by_aes_gcm(bytes: usize) -> Vec<u8> {
    let mut content = vec![5; bytes];
    aes_gcm(&mut content, 1, true);
    content
}
