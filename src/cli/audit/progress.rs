//! How far a reading of the logs is, told while it runs: a bar on a terminal, else a line now and then.
//! Not here: what is read. All of it goes to standard error.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::cli::context::tell;
use crate::log::stream::Watch;

/// How often a terminal shows how far it is.
const SHOWN_EVERY: Duration = Duration::from_millis(200);
/// How often that is said where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Tells how far it is for as long as it is polled: a bar on a terminal, else a line now and then.
pub(super) async fn told(watch: &Watch, then: &'static str) {
    if !io::stderr().is_terminal() {
        return said(|| watch.progress(), then, SAID_EVERY, tell).await;
    }
    // However it ends, what is said next has a line of its own.
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    loop {
        tokio::time::sleep(SHOWN_EVERY).await;
        let (read, of) = watch.progress();
        draw(&bar, doing(then, of), read, of);
    }
}

/// Says where it is, a line each time.
async fn said(progress: impl Fn() -> (u64, u64), then: &'static str, every: Duration, say: impl Fn(&str)) {
    loop {
        tokio::time::sleep(every).await;
        let (read, of) = progress();
        let whole = if of == 0 { String::new() } else { format!(" of {of}") };
        say(&format!("{}: {read}{whole} leaves so far", doing(then, of)));
    }
}

/// What is being done: as long as it is not known how much there is, the data keys are looked for.
fn doing(then: &'static str, of: u64) -> &'static str {
    if of == 0 { "reading the logs" } else { then }
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

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
