//! From the text of a configuration file to a checked [`Config`].
//! Not here: defaults (`raw.rs`), and whether the files, sockets and servers it names are there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use toml::de::DeTable;

use super::error::Error;
use super::raw::{self, Raw};
use super::sections::{
    Audit, Cli, Fence, Keyring, Observe, Portal, Pressing, Proxy, Retention, Road, Snapshots, Witness, WitnessAt,
};
use super::{Config, keys};
use crate::retention::by_age::ByAge;
use crate::retention::plan::{self, Caps};
use crate::retention::promise::Promise;
use crate::retention::window::Window;

mod clusters;
mod limits;
mod register;
mod staff;

/// What a name that becomes part of a path must be.
const A_NAME: &str = "expected a name of 1 to 40 of a-z, 0-9, - and _, such as \"gate-1\"";

/// How often the self-test may be repeated.
const EXAMINE_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// A configuration file on its way to a [`Config`].
pub(super) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    credentials: Option<&'a Path>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str, credentials: Option<&'a Path>) -> Self {
        Source { file, text, credentials }
    }

    pub(super) fn config(&self) -> Result<Config, Error> {
        let table = DeTable::parse(self.text).map_err(|fault| self.syntax(&fault))?;
        let table = table.get_ref();
        if let Some(unknown) = keys::first_unknown(table) {
            let line = keys::line(self.text, unknown.offset);
            return Err(Error::UnknownKey { file: self.file.to_owned(), line, key: unknown.key, hint: unknown.hint });
        }
        let raw: Raw = toml::from_str(self.text).map_err(|fault| self.wrong_type(table, &fault))?;
        self.check(table, &raw)?;
        self.sections(table, raw)
    }

    /// What types cannot say: names that become parts of paths, numbers that must not be zero.
    fn check(&self, table: &DeTable<'_>, raw: &Raw) -> Result<(), Error> {
        if !is_name(&raw.proxy.id) {
            return Err(self.wrong(table, &["proxy", "id"], A_NAME));
        }
        for (name, cluster) in &raw.clusters {
            self.check_cluster(table, name, cluster)?;
        }
        if !is_name(&raw.retention.id) {
            return Err(self.wrong(table, &["retention", "id"], A_NAME));
        }
        for (name, snapshots) in &raw.snapshots {
            if !is_name(name) {
                return Err(self.wrong(table, &["snapshots", name], A_NAME));
            }
            if snapshots.cluster.as_ref().is_some_and(|cluster| !raw.clusters.contains_key(cluster)) {
                let known: Vec<&str> = raw.clusters.keys().map(String::as_str).collect();
                let expected = format!("no such section [clusters.NAME]; there are: {}", known.join(", "));
                return Err(self.wrong(table, &["snapshots", name, "cluster"], &expected));
            }
        }
        for (name, witness) in &raw.witnesses {
            if !is_name(name) {
                return Err(self.wrong(table, &["witnesses", name], A_NAME));
            }
            if !witness.url.is_empty() && !witness.url.starts_with("https://") {
                let expected = "expected an address that starts with https://, or nothing";
                return Err(self.wrong(table, &["witnesses", name, "url"], expected));
            }
            if !witness.url.is_empty() && !witness.folder.as_os_str().is_empty() {
                let expected = "a witness is at a url or is a folder: make two of them, with names of their own";
                return Err(self.wrong(table, &["witnesses", name, "folder"], expected));
            }
            if witness.every.0.is_zero() {
                return Err(self.wrong(table, &["witnesses", name, "every"], "must be more than zero"));
            }
        }
        for name in raw.retention.datamap.keys() {
            let cluster = name.split_once('/').filter(|(_, database)| !database.is_empty()).map(|(cluster, _)| cluster);
            if cluster.is_none_or(|cluster| !raw.clusters.contains_key(cluster)) {
                let expected = "expected CLUSTER/DATABASE, with a section [clusters.CLUSTER], such as \"main/shared\"";
                return Err(self.wrong(table, &["retention", "datamap", name], expected));
            }
        }
        let values = serde_json::to_value(raw).expect("the file's values can be said in JSON");
        for section in ["proxy", "audit", "limits", "promise", "retention"] {
            let mut keys = values.get(section).and_then(Value::as_object).into_iter().flatten();
            let may_be_zero = ["reserve_bytes", "expire_max", "expire_percent_max", "purge_max"];
            if let Some((key, _)) = keys.find(|(key, value)| !may_be_zero.contains(&key.as_str()) && is_zero(value)) {
                return Err(self.wrong(table, &[section, key], "must be more than zero"));
            }
        }
        if raw.audit.vendor_skeleton_after.0 < raw.audit.vendor_values_after.0 {
            let message = "must not be less than vendor_values_after: who did something is not kept shorter than what";
            return Err(self.wrong(table, &["audit", "vendor_skeleton_after"], message));
        }
        if !EXAMINE_EVERY.contains(&raw.fence.examine_every.0) {
            return Err(self.wrong(table, &["fence", "examine_every"], "expected 1s to 1m"));
        }
        if raw.retention.purge_rows_first > raw.retention.purge_rows_max {
            let message = "must not be more than purge_rows_max";
            return Err(self.wrong(table, &["retention", "purge_rows_first"], message));
        }
        let url = raw.portal.public_url.as_deref();
        if url.is_some_and(|url| url.strip_prefix("https://").is_none_or(str::is_empty)) {
            return Err(self.wrong(table, &["portal", "public_url"], "expected an address that starts with https://"));
        }
        Ok(())
    }

    fn wrong(&self, table: &DeTable<'_>, path: &[&str], message: &str) -> Error {
        Error::WrongValue {
            file: self.file.to_owned(),
            line: keys::offset_of(table, path).map_or(1, |offset| keys::line(self.text, offset)),
            key: path.join("."),
            message: message.to_owned(),
        }
    }

    fn sections(&self, table: &DeTable<'_>, raw: Raw) -> Result<Config, Error> {
        if raw.clusters.is_empty() {
            return Err(Error::NoCluster { file: self.file.to_owned() });
        }
        let clusters = raw.clusters.into_iter().map(|(name, cluster)| {
            let cluster = self.cluster(&format!("clusters.{name}"), cluster)?;
            Ok((name, cluster))
        });
        let witnesses = raw.witnesses.into_iter();
        let witnesses = witnesses.filter_map(|(name, witness)| Some((name, self.witness(witness)?))).collect();
        let snapshots = raw.snapshots.into_iter().map(|(name, snapshots)| {
            let snapshots = self.snapshots(&format!("snapshots.{name}"), snapshots)?;
            Ok((name, snapshots))
        });
        Ok(Config {
            witnesses,
            snapshots: snapshots.collect::<Result<BTreeMap<_, _>, Error>>()?,
            promise: promise(&raw.promise),
            standing: match raw.promise.instruction {
                raw::Instruction::General => true,
                raw::Instruction::Specific => false,
            },
            retention: self.retention(table, raw.retention)?,
            clusters: clusters.collect::<Result<BTreeMap<_, _>, Error>>()?,
            proxy: self.proxy(raw.proxy),
            register: self.register(table, raw.register)?,
            audit: self.audit(raw.audit),
            keyring: self.keyring(raw.keyring),
            portal: self.portal(table, raw.portal)?,
            fence: Fence {
                accept: raw.fence.accept,
                revoke_public: raw.fence.revoke_public,
                examine_every: raw.fence.examine_every.0,
            },
            limits: self.limits(table, raw.limits)?,
            staff: self.staff(table, raw.staff)?,
            road: Road { application: raw.road.application, maintenance: raw.road.maintenance },
            cli: Cli { log_key: self.secret(raw.cli.log_key), state: self.path(raw.cli.state) },
            observe: Observe { level: raw.observe.level, format: raw.observe.format },
            digest: hexadecimal(digest(&SHA256, self.text.as_bytes()).as_ref()),
        })
    }

    fn proxy(&self, raw: raw::Proxy) -> Proxy {
        Proxy {
            id: raw.id,
            listen: raw.listen,
            certificate: self.path(raw.certificate),
            key: self.secret(raw.key),
            socket: self.path(raw.socket),
            strict: raw.strict,
            threads: raw.threads.into(),
            frame_bytes_max: usize::try_from(raw.frame_bytes_max.0).unwrap_or(usize::MAX),
            idle_after: raw.idle_after.0,
            state: self.path(raw.state),
            log_key: self.secret(raw.log_key),
        }
    }

    fn audit(&self, raw: raw::Audit) -> Audit {
        Audit {
            directory: self.path(raw.directory),
            segment_bytes: raw.segment_bytes.0,
            reserve_bytes: raw.reserve_bytes.0,
            epoch_after: raw.epoch_after.0,
            epoch_bytes: raw.epoch_bytes.0,
            vendor: ByAge { values_after: raw.vendor_values_after.0, skeleton_after: raw.vendor_skeleton_after.0 },
        }
    }

    fn keyring(&self, raw: raw::Keyring) -> Keyring {
        Keyring {
            socket: self.path(raw.socket),
            file: self.path(raw.file),
            credential: self.secret(raw.credential),
            public_key: self.path(raw.public_key),
            writers: raw.writers,
            openers: raw.openers,
            destroyers: raw.destroyers,
            copies: raw.copies.into_iter().map(|copy| self.path(copy)).collect(),
            log_key: self.secret(raw.log_key),
        }
    }

    fn portal(&self, table: &DeTable<'_>, raw: raw::Portal) -> Result<Portal, Error> {
        let vendor_token = sha256_of(&raw.vendor_token_sha256).map_err(|()| {
            let expected = "expected 64 hexadecimal digits, as sha256sum prints them, or nothing";
            self.wrong(table, &["portal", "vendor_token_sha256"], expected)
        })?;
        let public_url = self.required("portal", "public_url", "https://access.example.com", raw.public_url)?;
        Ok(Portal {
            listen: raw.listen,
            certificate: self.path(raw.certificate),
            key: self.secret(raw.key),
            public_url: public_url.trim_end_matches('/').to_owned(),
            signing_key: self.secret(raw.signing_key),
            signing_public_key: self.path(raw.signing_public_key),
            vendor_token,
            archives: self.path(raw.archives),
            state: self.path(raw.state),
            log_key: self.secret(raw.log_key),
        })
    }

    fn retention(&self, table: &DeTable<'_>, raw: raw::Retention) -> Result<Retention, Error> {
        let window = raw.window.parse().map_err(|_| {
            let expected = "expected seconds as a cron expression of six fields (second, minute, hour, day, month, \
                            weekday), such as \"* * 1-4 * * *\"";
            self.wrong(table, &["retention", "window"], expected)
        })?;
        let time_zone = raw.time_zone.parse().map_err(|_| {
            self.wrong(
                table,
                &["retention", "time_zone"],
                "expected a time zone such as \"Europe/Copenhagen\" or \"UTC\"",
            )
        })?;
        Ok(Retention {
            id: raw.id,
            state: self.path(raw.state),
            log_key: self.secret(raw.log_key),
            instance_key: self.secret(raw.instance_key),
            programs: Some(raw.programs).filter(|path| !path.as_os_str().is_empty()).map(|path| self.path(path)),
            runtime: self.path(raw.runtime),
            window: Window::new(window, time_zone),
            caps: Caps {
                expire: raw.expire_max,
                expire_percent: raw.expire_percent_max,
                purge: raw.purge_max,
                fresh: raw.plan_fresh.0,
            },
            two_people: raw.two_people,
            pressing: Pressing {
                rows_first: raw.purge_rows_first,
                rows_max: raw.purge_rows_max,
                batch: raw.purge_batch.0,
                rest_percent: raw.purge_rest_percent,
                replica_lag_max: raw.purge_replica_lag_max.0,
                waiters: raw.purge_waiters.0,
                scrub: raw.purge_scrub,
            },
            datamap: raw.datamap.into_iter().filter_map(|(name, path)| Some((name, self.path(path?)))).collect(),
            on_ceiling: match raw.on_ceiling {
                raw::OnCeiling::HoldLastGood => plan::OnCeiling::HoldLastGood,
                raw::OnCeiling::Delete => plan::OnCeiling::Delete,
            },
        })
    }

    /// None if it is given no place.
    fn witness(&self, raw: raw::Witness) -> Option<Witness> {
        let raw::Witness { url, key, ca, folder, every } = raw;
        let at = match (url.is_empty(), folder.as_os_str().is_empty()) {
            (true, true) => return None,
            (true, false) => WitnessAt::Folder(self.path(folder)),
            (false, _) => WitnessAt::Endpoint { url, key: self.path(key), ca: self.path(ca) },
        };
        Some(Witness { at, every: every.0 })
    }

    fn snapshots(&self, section: &str, raw: raw::Snapshots) -> Result<Snapshots, Error> {
        let certificate = self.pair(section, ("certificate", "key"), raw.certificate, raw.key)?;
        let password_file = self.required(section, "password_file", "secrets/snapshots.password", raw.password_file)?;
        Ok(Snapshots {
            role: raw.role,
            password_file: self.secret(password_file),
            certificate,
            kind: self.required(section, "kind", "base-backup", raw.kind)?,
            cluster: self.required(section, "cluster", "main", raw.cluster)?,
            directory: self.path(self.required(section, "directory", "/srv/snapshots/main", raw.directory)?),
            recipient: self.path(self.required(section, "recipient", "snapshots.pub", raw.recipient)?),
            takes: raw.takes.0,
            expiry_lag: raw.expiry_lag.0,
            store_keeps: raw.store_keeps.0,
            bytes_per_second_max: Some(raw.bytes_per_second_max.0).filter(|limit| *limit > 0),
            checksums: raw.checksums,
        })
    }

    /// A client certificate and its key: both or neither.
    fn pair(
        &self,
        section: &str,
        (certificate_key, key_key): (&'static str, &'static str),
        certificate: PathBuf,
        key: PathBuf,
    ) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        let given = |path: PathBuf| Some(path).filter(|path| !path.as_os_str().is_empty());
        match (given(certificate), given(key)) {
            (None, None) => Ok(None),
            (certificate, key) => Ok(Some((
                self.path(self.required(section, certificate_key, "client.crt", certificate)?),
                self.secret(self.required(section, key_key, "secrets/client.key", key)?),
            ))),
        }
    }

    fn required<T>(
        &self,
        section: &str,
        key: &'static str,
        example: &'static str,
        value: Option<T>,
    ) -> Result<T, Error> {
        value.ok_or_else(|| Error::MissingKey { file: self.file.to_owned(), section: section.to_owned(), key, example })
    }

    /// Resolved against the folder of the configuration file.
    fn path(&self, path: PathBuf) -> PathBuf {
        self.file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path))
    }

    /// As [`Source::path`], but the credential of that file name if systemd handed one over.
    fn secret(&self, path: PathBuf) -> PathBuf {
        let handed = self.credentials.zip(path.file_name()).map(|(folder, name)| folder.join(name));
        handed.filter(|handed| handed.exists()).unwrap_or_else(|| self.path(path))
    }

    fn syntax(&self, fault: &toml::de::Error) -> Error {
        let line = keys::line(self.text, fault.span().map_or(0, |span| span.start));
        Error::Syntax { file: self.file.to_owned(), line, message: fault.message().replace('\n', "; ") }
    }

    fn wrong_type(&self, table: &DeTable<'_>, fault: &toml::de::Error) -> Error {
        let offset = fault.span().map_or(0, |span| span.start);
        let key = keys::key_at(table, offset).unwrap_or_else(|| "?".to_owned());
        let line = keys::line(self.text, offset);
        Error::WrongValue { file: self.file.to_owned(), line, key, message: plain(fault.message()) }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=40).contains(&text.len()) && text.bytes().all(fits)
}

/// A number, duration or size of nothing.
fn is_zero(value: &Value) -> bool {
    value.as_u64() == Some(0) || matches!(value.as_str(), Some("0ms" | "0B"))
}

/// serde's words in plain ones.
fn plain(message: &str) -> String {
    let types = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected socket address", "expected an address and a port such as \"0.0.0.0:6432\""),
        ("invalid socket address syntax", "expected an address and a port such as \"0.0.0.0:6432\""),
        ("expected path string", "expected a path"),
        ("expected a boolean", "expected true or false"),
    ];
    let rust = types.iter().find(|(rust, _)| message.ends_with(rust));
    rust.map_or_else(|| message.to_owned(), |(rust, plain)| message.replace(rust, plain))
}

fn promise(raw: &raw::Promise) -> Promise {
    Promise {
        snapshot_every: raw.snapshot_every.0,
        snapshot_max_age: raw.snapshot_max_age.0,
        purge_live_after: raw.purge_live_after.0,
        gone_everywhere_after: raw.gone_everywhere_after.0,
        audit_skeleton_after: raw.audit_skeleton_after.0,
        application_logs_max_age: raw.application_logs_max_age.0,
        breach_notice_within: raw.breach_notice_within.0,
    }
}

/// 64 hexadecimal digits; the empty text is none.
fn sha256_of(text: &str) -> Result<Option<[u8; 32]>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut digest = [0; 32];
    let is_whole = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)).take_while(|_| is_whole) {
        let digits = std::str::from_utf8(digits).map_err(|_| ())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| ())?;
    }
    if is_whole { Ok(Some(digest)) } else { Err(()) }
}
