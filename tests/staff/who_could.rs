//! Who could reach a customer's data at a moment, told from the register alone.
//! Not here: who did (`tests/durable`).

use portreeve::clock::{Clock, SystemClock};

use crate::ground::Ground;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_register_tells_who_could_at_any_moment() {
    let ground = Ground::new(&[]).await;
    let before = SystemClock.now().to_string();
    ground.grant();
    let meanwhile = SystemClock.now().to_string();
    ground.must(&["staff", "suspend", "jane"]);
    let afterwards = SystemClock.now().to_string();
    let told =
        |at: &str, all: &[&str]| ground.must(&[&["--format", "csv", "history", "acme", "--at", at], all].concat());
    assert!(!told(&before, &[]).contains("jane"), "nobody had opened anything: {}", told(&before, &[]));
    let could = told(&meanwhile, &[]);
    assert!(could.contains("jane,yes") && could.contains("invoices show wrong totals"), "{could}");
    assert!(!could.contains("lena"), "{could}");
    assert!(!told(&afterwards, &[]).contains("jane"));
    let everybody = told(&afterwards, &["--all"]);
    assert!(everybody.contains("staff-suspended") && everybody.contains("lena,no,no-grant"), "{everybody}");
    let nonsense = ground.portreeve(&["history", "acme", "--at", "when it rained"]);
    assert_eq!(nonsense.status.code(), Some(2));
}
