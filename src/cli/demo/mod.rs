//! The demonstration: everything on a throw-away directory, the story from end to end, then up for the reader's own
//! psql.
//! Not here: anything a production set-up should copy; its keys live as long as its directory.

mod account_ends;
mod asked;
pub mod certificates;
pub mod cluster;
mod configuration;
mod customers;
mod data_directory;
mod role;
pub mod stage;
mod story;

use std::path::PathBuf;
use std::time::Instant;

use self::stage::Stage;
use self::story::Story;
use super::{Exit, Failure};

/// How the demonstration runs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run unattended, and fail if a step is not as promised.
    #[arg(long)]
    pub check: bool,
    /// Where an initialised PostgreSQL data directory is kept between runs.
    #[arg(long, value_name = "PATH")]
    pub cache: Option<PathBuf>,
}

/// Sets the stage, tells the story, and, unless it only checks, stays up until Ctrl-C.
///
/// # Errors
/// If the stage cannot be set up, or a step is not as promised.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let progress = indicatif::ProgressBar::new_spinner();
    progress.set_message("starting PostgreSQL, the keyring, the gate and the portal …");
    progress.enable_steady_tick(std::time::Duration::from_millis(100));
    let mut settings = stage::Settings::new(std::env::current_exe()?);
    settings.cache = arguments.cache;
    let stage = Stage::set_up(settings).await.map_err(|error| Failure::failed(error.to_string()))?;
    progress.finish_and_clear();
    let mut story = Story::on(&stage);
    story.tell().await.map_err(|error| Failure::failed(error.to_string()))?;
    println!("\nAll as promised, in {:.0} s.", begun.elapsed().as_secs_f64());
    if !arguments.check {
        story.invite().map_err(|error| Failure::failed(error.to_string()))?;
        tokio::signal::ctrl_c().await?;
    }
    Ok(Exit::Done)
}
