//! `[clusters.NAME]`: from what is written to a checked [`Cluster`], with the replicas of it.
//! Not here: whether the servers are there, and which is whose replica.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeTable;

use super::{A_NAME, Source, is_name};
use crate::config::error::Error;
use crate::config::raw;
use crate::config::sections::{Cluster, External, Login, Maintenance, Replica};

const A_PORT: &str = "expected a port from 1 to 65535";
/// How long whoever signs in may be kept waiting for a replica.
const REPLAY_WITHIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

impl Source<'_> {
    /// What types cannot say of one.
    pub(super) fn check_cluster(&self, table: &DeTable<'_>, name: &str, cluster: &raw::Cluster) -> Result<(), Error> {
        if !is_name(name) {
            return Err(self.wrong(table, &["clusters", name], A_NAME));
        }
        if cluster.port == 0 {
            return Err(self.wrong(table, &["clusters", name, "port"], A_PORT));
        }
        let logins = cluster.logins();
        let named = logins.iter().find(|(_, _, role, password)| !role.is_empty() || !password.as_os_str().is_empty());
        let half = logins.iter().find(|(_, _, role, password)| role.is_empty() != password.as_os_str().is_empty());
        let wrong = match (cluster.fence, named, half) {
            (raw::FenceOf::Own, Some((key, ..)), _) => Some((*key, "is for fence = \"external\" only".to_owned())),
            (raw::FenceOf::External, None, _) => Some((
                "fence",
                "expected external_read, external_write or external_metadata, the login roles to use".to_owned(),
            )),
            (raw::FenceOf::External, _, Some((key, password, ..))) => {
                Some((*key, format!("goes with {password}: say both, or neither")))
            }
            (raw::FenceOf::Own, None, _) | (raw::FenceOf::External, Some(_), None) => None,
        };
        if let Some((key, message)) = wrong {
            return Err(self.wrong(table, &["clusters", name, key], &message));
        }
        self.check_replicas(table, name, cluster)
    }

    fn check_replicas(&self, table: &DeTable<'_>, name: &str, cluster: &raw::Cluster) -> Result<(), Error> {
        for (replica, raw) in &cluster.replicas {
            let path = ["clusters", name, "replicas", replica];
            let wrong = if !is_name(replica) {
                Some((None, A_NAME))
            } else if raw.port == 0 {
                Some((Some("port"), A_PORT))
            } else if !REPLAY_WITHIN.contains(&raw.replay_within.0) {
                Some((Some("replay_within"), "expected 100ms to 1m"))
            } else if cluster.fence == raw::FenceOf::External && !raw.host.is_empty() {
                Some((
                    Some("host"),
                    "is for fence = \"own\" only: whether a replica follows is seen by the role that the proxy has made",
                ))
            } else {
                None
            };
            if let Some((key, message)) = wrong {
                let path: Vec<&str> = path.into_iter().chain(key).collect();
                return Err(self.wrong(table, &path, message));
            }
        }
        Ok(())
    }

    /// The login roles that somebody else manages; [`Source::check_cluster`] has seen to it that none is half said.
    fn external(&self, raw: &raw::Cluster) -> Option<External> {
        let [metadata, read, write] = raw.logins().map(|(_, _, role, password)| {
            let password_file = || self.secret(password.clone());
            (!role.is_empty()).then(|| Login { role: role.clone(), password_file: password_file() })
        });
        (raw.fence == raw::FenceOf::External).then_some(External { metadata, read, write })
    }

    pub(super) fn cluster(&self, section: &str, raw: raw::Cluster) -> Result<Cluster, Error> {
        let external = self.external(&raw);
        let names = ("maintenance_certificate", "maintenance_key");
        let certificate = self.pair(section, names, raw.maintenance_certificate, raw.maintenance_key)?;
        let maintenance = match (raw.maintenance_password_file, &certificate) {
            (None, None) => None,
            (password_file, _) => {
                let example = "secrets/main-maintenance.password";
                let file = self.required(section, "maintenance_password_file", example, password_file)?;
                Some(Maintenance { role: raw.maintenance, password_file: self.secret(file), certificate })
            }
        };
        Ok(Cluster {
            host: self.required(section, "host", "db-1.internal", raw.host)?,
            port: raw.port,
            ca: self.path(self.required(section, "ca", "main-ca.crt", raw.ca)?),
            certificate: self.path(self.required(section, "certificate", "main-client.crt", raw.certificate)?),
            key: self.secret(self.required(section, "key", "secrets/main-client.key", raw.key)?),
            provisioner: raw.provisioner,
            password_file: self.secret(self.required(
                section,
                "password_file",
                "secrets/main-provisioner.password",
                raw.password_file,
            )?),
            maintenance,
            external,
            replicas: replicas(raw.replicas),
        })
    }
}

/// Those that have a host.
fn replicas(raw: BTreeMap<String, raw::Replica>) -> BTreeMap<String, Replica> {
    let there = raw.into_iter().filter(|(_, raw)| !raw.host.is_empty());
    let replica = |raw: raw::Replica| Replica { host: raw.host, port: raw.port, replay_within: raw.replay_within.0 };
    there.map(|(name, raw)| (name, replica(raw))).collect()
}
