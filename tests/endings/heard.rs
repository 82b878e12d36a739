//! How fast a change of the register is heard of, by the same follower as the proxy's on the same file.
//! Not here: what a proxy does then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::clock::SystemClock;
use portreeve::config;
use portreeve::grant::Mode;
use portreeve::register::Follower;

use crate::cast::SOON;
use crate::ground::{Ground, trust};
use crate::measured::spread;

/// In 99 of a hundred cases a change is heard of within this.
const HEARD_WITHIN: Duration = Duration::from_millis(100);
const BY_THE_API: usize = 100;
const BY_THE_COMMAND_LINE: usize = 20;

/// From the answer to the person who made the change until the follower has it; zero if it had it before.
pub(crate) async fn a_change_is_heard_of(ground: &Ground) {
    let config = config::load(&ground.stage.configuration()).expect("the stage's configuration");
    let seen = ground.stage.path("test.seen");
    let follower = Follower::start(&config.register.path, trust(&config), &seen, Arc::new(SystemClock));
    let follower = follower.expect("a follower");
    let mut lags = Vec::new();
    for toggle in 0..BY_THE_API {
        let wanted = if toggle % 2 == 0 { Mode::Off } else { Mode::Standing };
        let heard = wait_for(&follower, wanted);
        let act = if wanted == Mode::Off { ground.close("acme") } else { ground.open("acme", "write") };
        lags.push(act.until(heard.await.expect("no panic"), "it was heard"));
    }
    for _ in 0..BY_THE_COMMAND_LINE {
        let heard = wait_for(&follower, Mode::Off);
        let act = ground.operator(&["customer", "revoke", "acme"]);
        lags.push(act.until(heard.await.expect("no panic"), "it was heard"));
        let heard = wait_for(&follower, Mode::Standing);
        let act = ground.open("acme", "write");
        lags.push(act.until(heard.await.expect("no panic"), "it was heard"));
    }
    lags.sort_unstable();
    let p99 = lags.get(lags.len() * 99 / 100).copied().unwrap_or_default();
    println!("a change is heard of: p99 {p99:.1?}, {} ({} changes)", spread(lags.clone()), lags.len());
    assert!(p99 <= HEARD_WITHIN, "{lags:?}");
}

/// When the follower has acme's switch at `wanted`.
fn wait_for(follower: &Follower, wanted: Mode) -> tokio::task::JoinHandle<Instant> {
    let follower = follower.clone();
    tokio::spawn(async move {
        let mut changed = follower.changed();
        let heard = async {
            loop {
                changed.mark_unchanged();
                let state = follower.state();
                let acme = state.customers().find(|customer| customer.name == "acme").expect("acme");
                if acme.consent.mode == wanted {
                    return Instant::now();
                }
                changed.changed().await.expect("a follower");
            }
        };
        tokio::time::timeout(SOON, heard).await.expect("the change is heard of at all")
    })
}
