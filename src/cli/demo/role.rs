//! One of our own roles as a process: started, watched, told to stop, or killed.
//! Not here: what it is started with (`stage.rs`).

use std::path::PathBuf;
use std::process::Child;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::stage::Error;

/// How long a role may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// A running role.
#[derive(Debug)]
pub struct Role {
    pub(super) name: &'static str,
    pub(super) child: Child,
    /// The address it listens on, if it does.
    pub address: Option<String>,
    /// Where its diagnostics go.
    pub log: PathBuf,
    /// Writes them there; over once it has ended and all is written.
    pub(super) scribe: JoinHandle<()>,
}

impl Role {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().map_err(Error::system("kill"))?;
        self.child.wait().map(drop).map_err(Error::system("wait"))
    }

    /// Waits for it to end by itself and for its last words to be in the file; answers whether it ended well.
    pub fn wait(&mut self, within: Duration) -> Result<Option<bool>, Error> {
        let until = Instant::now() + within;
        loop {
            let ended = self.child.try_wait().map_err(Error::system("wait"))?;
            match ended {
                Some(status) if self.scribe.is_finished() || Instant::now() >= until => {
                    return Ok(Some(status.success()));
                }
                None if Instant::now() >= until => return Ok(None),
                Some(_) | None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Tells it to stop (SIGTERM) and waits; answers whether it ended well.
    pub fn stop(&mut self) -> Result<bool, Error> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), None) = (pid, self.child.try_wait().map_err(Error::system("wait"))?) {
            kill_process(pid, Signal::TERM).map_err(|error| Error::system("stop")(error.into()))?;
        }
        match self.wait(ENDED_WITHIN)? {
            Some(ended_well) => Ok(ended_well),
            None => self.kill().map(|()| false),
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(role = self.name, pid = self.child.id(), %error, "could not be stopped");
        }
    }
}
