//! How far a reading of the logs is, told while it runs: a bar on a terminal, else a line now and then.
//! Not here: what is read. All of it goes to standard error.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::cli::context::tell;
use crate::log::stream::Watch;

/// How often a terminal shows how far it is.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// How often that is said where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Tells how far it is for as long as it is polled: a bar on a terminal, else a line now and then.
pub(super) async fn told(watch: &Watch, then: &'static str) {
    let is_terminal = io::stderr().is_terminal();
    let bar = if is_terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    // However it ends, what is said next has a line of its own.
    let bar = bar.with_finish(ProgressFinish::AndClear);
    let mut said = Instant::now();
    loop {
        tokio::time::sleep(SHOWN_EVERY).await;
        let (read, of) = watch.progress();
        let doing = if of == 0 { "reading the logs" } else { then };
        if is_terminal {
            draw(&bar, doing, read, of);
        } else if said.elapsed() >= SAID_EVERY {
            said = Instant::now();
            let whole = if of == 0 { String::new() } else { format!(" of {of}") };
            tell(&format!("{doing}: {read}{whole} leaves so far"));
        }
    }
}

fn draw(bar: &ProgressBar, doing: &'static str, read: u64, of: u64) {
    if of > 0 && bar.length() != Some(of) {
        bar.set_length(of);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {eta} to go");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
    bar.set_message(doing);
    bar.set_position(read);
}
