//! A `[clusters.NAME]` section as it is written, with its defaults.
//! Not here: what must hold of it (`config/source.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::units::Span;

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Cluster {
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) port: u16,
    pub(in crate::config) ca: Option<PathBuf>,
    pub(in crate::config) certificate: Option<PathBuf>,
    pub(in crate::config) key: Option<PathBuf>,
    pub(in crate::config) provisioner: String,
    pub(in crate::config) password_file: Option<PathBuf>,
    pub(in crate::config) maintenance: String,
    pub(in crate::config) maintenance_password_file: Option<PathBuf>,
    pub(in crate::config) maintenance_certificate: PathBuf,
    pub(in crate::config) maintenance_key: PathBuf,
    pub(in crate::config) fence: FenceOf,
    pub(in crate::config) external_metadata: String,
    pub(in crate::config) external_metadata_password_file: PathBuf,
    pub(in crate::config) external_read: String,
    pub(in crate::config) external_read_password_file: PathBuf,
    pub(in crate::config) external_write: String,
    pub(in crate::config) external_write_password_file: PathBuf,
    pub(in crate::config) replicas: BTreeMap<String, Replica>,
}

/// `[clusters.NAME.replicas.NAME]` as it is written; without a host there is none.
#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Replica {
    pub(in crate::config) host: String,
    pub(in crate::config) port: u16,
    pub(in crate::config) replay_within: Span,
}

impl Default for Replica {
    fn default() -> Self {
        Replica { host: String::new(), port: 5432, replay_within: Span(Duration::from_secs(10)) }
    }
}

/// Whose the login roles are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum FenceOf {
    /// The proxy makes one for each grant.
    Own,
    /// Somebody else's.
    External,
}

impl Cluster {
    /// The keys of the roles somebody else manages: role's key, password's key, and their values.
    pub(in crate::config) fn logins(&self) -> [(&'static str, &'static str, &String, &PathBuf); 3] {
        [
            (
                "external_metadata",
                "external_metadata_password_file",
                &self.external_metadata,
                &self.external_metadata_password_file,
            ),
            ("external_read", "external_read_password_file", &self.external_read, &self.external_read_password_file),
            (
                "external_write",
                "external_write_password_file",
                &self.external_write,
                &self.external_write_password_file,
            ),
        ]
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            host: None,
            port: 5432,
            ca: None,
            certificate: None,
            key: None,
            provisioner: "portreeve_provisioner".to_owned(),
            password_file: None,
            maintenance: "portreeve_maintenance".to_owned(),
            maintenance_password_file: None,
            maintenance_certificate: PathBuf::new(),
            maintenance_key: PathBuf::new(),
            fence: FenceOf::Own,
            external_metadata: String::new(),
            external_metadata_password_file: PathBuf::new(),
            external_read: String::new(),
            external_read_password_file: PathBuf::new(),
            external_write: String::new(),
            external_write_password_file: PathBuf::new(),
            replicas: BTreeMap::new(),
        }
    }
}
