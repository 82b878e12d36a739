//! The configuration file as serde sees it: every key once, with its default. A key without a default is an `Option`
//! and is asked for by `mod.rs`. The list of known keys is made from these structs, nowhere else.
//! Not here: what the keys mean together, and whether files exist.

mod cluster;
mod register;
mod staff;
mod witness;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::staff::{Oidc, SignIn, Staff};
pub(super) use self::witness::Witness;
use super::units::{Size, Span};
use super::user::User;
use crate::retention::plan::Caps;
use crate::retention::promise;
pub(super) use cluster::{Cluster, FenceOf, Replica};
pub(super) use register::{EngineOf, Register};

/// The name that stands for any name in [`Raw::specimen`].
pub(super) const ANY_NAME: &str = "*";

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) proxy: Proxy,
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) register: Register,
    pub(super) audit: Audit,
    pub(super) witnesses: BTreeMap<String, Witness>,
    pub(super) keyring: Keyring,
    pub(super) portal: Portal,
    pub(super) fence: Fence,
    pub(super) limits: Limits,
    pub(super) staff: Staff,
    pub(super) road: Road,
    pub(super) promise: Promise,
    pub(super) retention: Retention,
    pub(super) snapshots: BTreeMap<String, Snapshots>,
    pub(super) cli: Cli,
    pub(super) observe: Observe,
}

impl Raw {
    /// The defaults, with one cluster, its replica and one back-end under [`ANY_NAME`], so that every key there is occurs in it.
    pub(super) fn specimen() -> Raw {
        let replicas = BTreeMap::from([(ANY_NAME.to_owned(), Replica::default())]);
        Raw {
            clusters: BTreeMap::from([(ANY_NAME.to_owned(), Cluster { replicas, ..Cluster::default() })]),
            witnesses: BTreeMap::from([(ANY_NAME.to_owned(), Witness::default())]),
            snapshots: BTreeMap::from([(ANY_NAME.to_owned(), Snapshots::default())]),
            retention: Retention { datamap: BTreeMap::from([(ANY_NAME.to_owned(), None)]), ..Retention::default() },
            ..Raw::default()
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Proxy {
    pub(super) id: String,
    pub(super) listen: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) strict: bool,
    pub(super) threads: u16,
    pub(super) frame_bytes_max: Size,
    pub(super) idle_after: Span,
    pub(super) state: PathBuf,
    pub(super) log_key: PathBuf,
}

impl Default for Proxy {
    fn default() -> Self {
        Proxy {
            id: "gate-1".to_owned(),
            listen: SocketAddr::from(([0, 0, 0, 0], 6432)),
            certificate: "/etc/portreeve/proxy.crt".into(),
            key: "/etc/portreeve/secrets/proxy.key".into(),
            socket: "/run/portreeve-proxy/control.sock".into(),
            strict: false,
            threads: 1,
            frame_bytes_max: Size(64 << 20),
            idle_after: minutes(15),
            state: "/var/lib/portreeve-proxy".into(),
            log_key: "/etc/portreeve/secrets/proxy-log.key".into(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Audit {
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: Size,
    pub(super) reserve_bytes: Size,
    pub(super) epoch_after: Span,
    pub(super) epoch_bytes: Size,
    pub(super) vendor_values_after: Span,
    pub(super) vendor_skeleton_after: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            directory: "/var/lib/portreeve/audit".into(),
            segment_bytes: Size(64 << 20),
            reserve_bytes: Size(256 << 20),
            epoch_after: minutes(15),
            epoch_bytes: Size(64 << 20),
            vendor_values_after: days(90),
            vendor_skeleton_after: days(365),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Keyring {
    pub(super) socket: PathBuf,
    pub(super) file: PathBuf,
    pub(super) credential: PathBuf,
    pub(super) public_key: PathBuf,
    pub(super) writers: Vec<User>,
    pub(super) openers: Vec<User>,
    pub(super) destroyers: Vec<User>,
    pub(super) copies: Vec<PathBuf>,
    pub(super) log_key: PathBuf,
}

impl Default for Keyring {
    fn default() -> Self {
        let user = |name: &str| User::Name(name.to_owned());
        Keyring {
            socket: "/run/portreeve-keyring/keyring.sock".into(),
            file: "/var/lib/portreeve-keyring/keyring".into(),
            credential: "/etc/portreeve/secrets/keyring.credential".into(),
            public_key: "/etc/portreeve/keyring.pub".into(),
            writers: ["portreeve-proxy", "portreeve-portal", "portreeve-retention", "root"].map(user).to_vec(),
            openers: vec![user("portreeve-portal"), user("portreeve-retention"), user("root")],
            destroyers: vec![user("portreeve-retention")],
            copies: Vec::new(),
            log_key: "/etc/portreeve/secrets/keyring-log.key".into(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Portal {
    pub(super) listen: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) public_url: Option<String>,
    pub(super) signing_key: PathBuf,
    pub(super) signing_public_key: PathBuf,
    pub(super) vendor_token_sha256: String,
    pub(super) archives: PathBuf,
    pub(super) state: PathBuf,
    pub(super) log_key: PathBuf,
}

impl Default for Portal {
    fn default() -> Self {
        Portal {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            certificate: "/etc/portreeve/portal.crt".into(),
            key: "/etc/portreeve/secrets/portal.key".into(),
            public_url: None,
            signing_key: "/etc/portreeve/secrets/portal-signing.key".into(),
            signing_public_key: "/etc/portreeve/portal-signing.pub".into(),
            vendor_token_sha256: String::new(),
            archives: "/var/lib/portreeve/archives".into(),
            state: "/var/lib/portreeve-portal".into(),
            log_key: "/etc/portreeve/secrets/portal-log.key".into(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Fence {
    pub(super) accept: Vec<String>,
    pub(super) revoke_public: bool,
    pub(super) examine_every: Span,
}

impl Default for Fence {
    fn default() -> Self {
        Fence { accept: Vec::new(), revoke_public: false, examine_every: minutes(1) }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) connections_per_grant: u32,
    pub(super) connections_per_address: u32,
    pub(super) connections: u32,
    pub(super) attempts_per_address: u32,
    pub(super) attempts_per_name: u32,
    pub(super) attempts_within: Span,
    pub(super) sign_in_within: Span,
    pub(super) register_stale_after: Span,
    pub(super) observe_until: String,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_per_grant: 8,
            connections_per_address: 64,
            connections: 1000,
            attempts_per_address: 20,
            attempts_per_name: 10,
            attempts_within: minutes(1),
            sign_in_within: Span(Duration::from_secs(30)),
            register_stale_after: Span(Duration::from_secs(5)),
            observe_until: String::new(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Promise {
    pub(super) snapshot_every: Span,
    pub(super) snapshot_max_age: Span,
    pub(super) purge_live_after: Span,
    pub(super) gone_everywhere_after: Span,
    pub(super) audit_skeleton_after: Span,
    pub(super) application_logs_max_age: Span,
    pub(super) breach_notice_within: Span,
    pub(super) instruction: Instruction,
}

/// Whether owners may let staff open access themselves, or must say so each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Instruction {
    /// As each owner chooses.
    General,
    /// Each time: standing consent is refused.
    Specific,
}

impl Default for Promise {
    fn default() -> Self {
        let promise = promise::Promise::default();
        Promise {
            snapshot_every: Span(promise.snapshot_every),
            snapshot_max_age: Span(promise.snapshot_max_age),
            purge_live_after: Span(promise.purge_live_after),
            gone_everywhere_after: Span(promise.gone_everywhere_after),
            audit_skeleton_after: Span(promise.audit_skeleton_after),
            application_logs_max_age: Span(promise.application_logs_max_age),
            breach_notice_within: Span(promise.breach_notice_within),
            instruction: Instruction::General,
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Retention {
    pub(super) id: String,
    pub(super) state: PathBuf,
    pub(super) log_key: PathBuf,
    pub(super) instance_key: PathBuf,
    pub(super) programs: PathBuf,
    pub(super) runtime: PathBuf,
    pub(super) window: String,
    pub(super) time_zone: String,
    pub(super) expire_max: u32,
    pub(super) expire_percent_max: u32,
    pub(super) purge_max: u32,
    pub(super) two_people: bool,
    pub(super) plan_fresh: Span,
    pub(super) on_ceiling: OnCeiling,
    pub(super) purge_rows_first: u32,
    pub(super) purge_rows_max: u32,
    pub(super) purge_batch: Span,
    pub(super) purge_rest_percent: u32,
    pub(super) purge_replica_lag_max: Span,
    pub(super) purge_waiters: Span,
    pub(super) purge_scrub: Scrub,
    pub(super) datamap: BTreeMap<String, Option<PathBuf>>,
}

impl Default for Retention {
    fn default() -> Self {
        let caps = Caps::default();
        Retention {
            id: "keeper-1".to_owned(),
            state: "/var/lib/portreeve-retention".into(),
            log_key: "/etc/portreeve/secrets/retention-log.key".into(),
            instance_key: "/etc/portreeve/secrets/retention-instance.key".into(),
            programs: PathBuf::new(),
            runtime: "/run/portreeve-retention".into(),
            window: "* * 1-4 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            expire_max: caps.expire,
            expire_percent_max: caps.expire_percent,
            purge_max: caps.purge,
            two_people: true,
            plan_fresh: Span(caps.fresh),
            on_ceiling: OnCeiling::HoldLastGood,
            purge_rows_first: 1000,
            purge_rows_max: 20_000,
            purge_batch: Span(Duration::from_millis(350)),
            purge_rest_percent: 10,
            purge_replica_lag_max: Span(Duration::from_secs(10)),
            purge_waiters: Span(Duration::from_secs(10)),
            purge_scrub: Scrub::None,
            datamap: BTreeMap::new(),
        }
    }
}

/// What becomes of the last good snapshot when it is too old and there is no newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnCeiling {
    /// It is held, which is recorded and told, until a closed customer's last day.
    HoldLastGood,
    /// It is deleted, which is recorded and told.
    Delete,
}

/// Whether a purge rewrites files, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scrub {
    /// Freed space stays in the files until it is used again.
    None,
    /// `VACUUM FULL`: each table is locked meanwhile.
    VacuumFull,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Snapshots {
    pub(super) kind: Option<SnapshotKind>,
    pub(super) cluster: Option<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) recipient: Option<PathBuf>,
    pub(super) role: String,
    pub(super) password_file: Option<PathBuf>,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) takes: Span,
    pub(super) expiry_lag: Span,
    pub(super) store_keeps: Span,
    pub(super) bytes_per_second_max: Size,
    pub(super) checksums: Checksums,
}

impl Default for Snapshots {
    fn default() -> Self {
        Snapshots {
            kind: None,
            cluster: None,
            directory: None,
            recipient: None,
            role: "portreeve_snapshot".to_owned(),
            password_file: None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            takes: hours(1),
            expiry_lag: hours(1),
            store_keeps: Span(Duration::ZERO),
            bytes_per_second_max: Size(0),
            checksums: Checksums::Crc32c,
        }
    }
}

/// How a back-end takes a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// `pg_dump`, one database after the other.
    Dump,
    /// `pg_basebackup`, the whole cluster.
    BaseBackup,
}

/// The checksums in a base backup's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksums {
    /// What `pg_basebackup` does when not asked: against decay and what is cut short.
    Crc32c,
    /// Against somebody who changes files on purpose; the server and we hash every byte.
    Sha256,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Cli {
    pub(super) log_key: PathBuf,
    pub(super) state: PathBuf,
}

impl Default for Cli {
    fn default() -> Self {
        Cli { log_key: "/etc/portreeve/secrets/cli-log.key".into(), state: "/var/lib/portreeve/cli".into() }
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Road {
    pub(super) application: Vec<String>,
    pub(super) maintenance: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Observe {
    pub(super) level: String,
    pub(super) format: Format,
}

impl Default for Observe {
    fn default() -> Self {
        Observe { level: "info".to_owned(), format: Format::Text }
    }
}

/// How diagnostics are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line per event, for people.
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

fn days(count: u64) -> Span {
    hours(24 * count)
}

fn hours(count: u64) -> Span {
    minutes(60 * count)
}

fn minutes(count: u64) -> Span {
    Span(Duration::from_secs(60 * count))
}
