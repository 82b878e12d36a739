//! Work in a directory that another user owns, with that user's rights and no more: its owner can put a link in place of
//! anything in it, or of itself, and root would follow.
//! Not here: what is done there (`rotate.rs`).
//! credentials(7): on Linux each thread has its own, and hands them on to the threads that it starts.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::cli::Failure;

/// Who owns a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    /// Of that directory, which must be one.
    pub(super) fn of(directory: &Path) -> Result<Owner, Failure> {
        let about = fs::symlink_metadata(directory).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::failed(format!(
                "there is no log {} yet: start what writes it once, or remove its key and run \"portreeve keys init\"",
                directory.display()
            )),
            _ => Failure::failed(format!("cannot look at {}: {error}", directory.display())),
        })?;
        if !about.is_dir() {
            return Err(Failure::failed(format!(
                "{} is no directory but a link or a file: find out who put it there",
                directory.display()
            )));
        }
        Ok(Owner { uid: Uid::from_raw(about.uid()), gid: Gid::from_raw(about.gid()) })
    }

    /// What `act` gives, done by this thread and those that it starts as the owner. Who is not root has no rights to give up.
    pub(super) fn act<T>(self, act: impl FnOnce() -> T) -> Result<T, Failure> {
        let (uid, gid) = (geteuid(), getegid());
        if !uid.is_root() || self.uid.is_root() {
            return Ok(act());
        }
        let told = |error: io::Error| {
            Failure::failed(format!(
                "cannot take on the rights of user {}, who owns the log: {error}",
                self.uid.as_raw()
            ))
        };
        let groups = getgroups().map_err(|error| told(error.into()))?;
        let given_up = set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(None, self.gid, None))
            .and_then(|()| set_thread_res_uid(None, self.uid, None));
        let done = given_up.map(|()| act());
        // The user first: only root may do the rest.
        let taken_back = set_thread_res_uid(None, uid, None)
            .and_then(|()| set_thread_res_gid(None, gid, None))
            .and_then(|()| set_thread_groups(&groups));
        let done = done.map_err(|error| told(error.into()))?;
        taken_back.map_err(|error| told(error.into()))?;
        Ok(done)
    }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
