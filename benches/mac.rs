//! Which HMAC-SHA-256 derives a record's keys and links records: the `hmac` and `sha2` crates against `aws-lc-rs`, in the sizes
//! the log has. Not a test of the log.
//! Same work each run; prints the median of five rounds, `cargo bench --bench mac`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::{hkdf, hmac};
use portreeve::audit::mac::MacKey;

const ROUNDS: usize = 5;
const TIMES: u32 = 200_000;
const KEY: [u8; 32] = [7; 32];
/// Label, salt, position and part.
const INFO: [u8; 43] = [3; 43];
/// Label, previous leaf and origin.
const LINK: [u8; 70] = [4; 70];

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        76
    }
}

fn main() {
    let (ours, theirs) = (MacKey::new(&KEY), hmac::Key::new(hmac::HMAC_SHA256, &KEY));
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &KEY);
    let expand_theirs = || {
        let (mut okm, info) = ([0; 76], [INFO.as_slice()]);
        prk.expand(&info, Length).and_then(|okm_of| okm_of.fill(&mut okm)).expect("76 bytes can be had");
        okm
    };
    let link_theirs = || {
        let mut context = hmac::Context::with_key(&theirs);
        context.update(&LINK);
        context.sign().as_ref().to_vec()
    };
    assert_eq!(ours.expand::<76>(&[&INFO]).as_slice(), expand_theirs(), "both must do the same");
    assert_eq!(ours.mac(&[&LINK]).to_vec(), link_theirs(), "both must do the same");
    println!("{:>24} {:>14} {:>8} {:>8}", "what", "crate", "ns", "ratio");
    show("keys of a part", median(|| ours.expand::<76>(&[&INFO])), median(expand_theirs));
    show("link to a record before", median(|| ours.mac(&[&LINK])), median(link_theirs));
}

fn show(what: &str, ours: Duration, theirs: Duration) {
    for (name, time) in [("hmac", ours), ("aws-lc-rs", theirs)] {
        let nanos = time.as_nanos() as f64 / f64::from(TIMES);
        println!("{what:>24} {name:>14} {nanos:>8.0} {:>8.2}", time.as_secs_f64() / ours.as_secs_f64());
    }
}

fn median<T>(act: impl Fn() -> T) -> Duration {
    let round = || {
        let begun = Instant::now();
        (0..TIMES).for_each(|_| drop(black_box(act())));
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..=ROUNDS).map(|_| round()).skip(1).collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}
