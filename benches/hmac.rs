//! Which HMAC-SHA-256 makes records' keys and links, under a key that is ready for use: the log's own against `aws-lc-rs` and
//! the `hmac` crate. Not a test of the log.
//! Same work each run; prints the median of five rounds, `cargo bench --bench hmac`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac as aws_lc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use portreeve::audit::mac::MacKey;
use portreeve::secret::Secret;
use sha2::Sha256;

/// What the two halves of an expanded record key are made of, and a link in a log with a name of 15 bytes.
const SIZES: [usize; 3] = [44, 76, 65];
const ROUNDS: usize = 5;
/// How many are made in one round.
const ROUND_CODES: usize = 500_000;
const KEY: [u8; 32] = [7; 32];

fn main() {
    println!("{:>8} {:>14} {:>10} {:>8}", "bytes", "crate", "ns/code", "ratio");
    let ours = MacKey::new(&Secret::new(KEY));
    let aws_lc = aws_lc::Key::new(aws_lc::HMAC_SHA256, &KEY);
    let hmac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any length is a key's");
    let by_us = |message: &[u8]| {
        let mut code = [0; 32];
        ours.mac(message, &mut code);
        code
    };
    let by_aws_lc = |message: &[u8]| -> [u8; 32] {
        aws_lc::sign(&aws_lc, message).as_ref().try_into().expect("a code has 32 bytes")
    };
    let by_hmac = |message: &[u8]| -> [u8; 32] { hmac.clone().chain_update(message).finalize().into_bytes().into() };
    for bytes in SIZES {
        let message = vec![5; bytes];
        assert_eq!(by_us(&message), by_aws_lc(&message), "all must do the same");
        assert_eq!(by_us(&message), by_hmac(&message), "all must do the same");
        let least = median(&message, by_us);
        for (name, time) in
            [("ours", least), ("aws-lc-rs", median(&message, by_aws_lc)), ("hmac", median(&message, by_hmac))]
        {
            let nanos = time.as_nanos() as f64 / ROUND_CODES as f64;
            println!("{bytes:>8} {name:>14} {nanos:>10.0} {:>8.2}", time.as_secs_f64() / least.as_secs_f64());
        }
    }
}

fn median(message: &[u8], mac: impl Fn(&[u8]) -> [u8; 32]) -> Duration {
    let mut times: Vec<Duration> = (0..=ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUND_CODES {
                black_box(mac(black_box(message)));
            }
            start.elapsed()
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}
