//! `[register]` as it stands in the file, with its defaults.
//! Not here: what must hold of it (`config/source/register.rs`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Register {
    pub(in crate::config) engine: EngineOf,
    pub(in crate::config) path: PathBuf,
    pub(in crate::config) host: String,
    pub(in crate::config) port: u16,
    pub(in crate::config) database: String,
    pub(in crate::config) role: String,
    pub(in crate::config) password_file: PathBuf,
    pub(in crate::config) ca: PathBuf,
    pub(in crate::config) certificate: PathBuf,
    pub(in crate::config) key: PathBuf,
}

/// What keeps the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum EngineOf {
    /// A file of this machine.
    Sqlite,
    /// A server that every machine reaches.
    Postgresql,
}

impl Default for Register {
    fn default() -> Self {
        Register {
            engine: EngineOf::Sqlite,
            path: "/var/lib/portreeve/register/register.sqlite".into(),
            host: String::new(),
            port: 5432,
            database: "portreeve".to_owned(),
            role: "portreeve_register".to_owned(),
            password_file: PathBuf::new(),
            ca: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        }
    }
}
