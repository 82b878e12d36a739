//! `[witnesses.NAME]` as it stands in the file: a url, or a folder, or neither.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::units::Span;

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Witness {
    pub(in crate::config) url: String,
    pub(in crate::config) key: PathBuf,
    pub(in crate::config) ca: PathBuf,
    pub(in crate::config) folder: PathBuf,
    pub(in crate::config) every: Span,
}

impl Default for Witness {
    fn default() -> Self {
        Witness {
            url: String::new(),
            key: "/etc/portreeve/witness.vkey".into(),
            ca: "/etc/portreeve/witness-ca.crt".into(),
            folder: PathBuf::new(),
            every: Span(Duration::from_secs(10)),
        }
    }
}
