//! The certificate of one closure: a part is signed once it is true, kept in the daemon's folder, and laid beside the
//! archive for the owner, as a file for machines and as a page for people.
//! Not here: its form (`retention::certificate`). Counts, times and names of objects only.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::drive::{Case, due};
use super::purge::hexadecimal;
use super::{Error, World};
use crate::clock::Timestamp;
use crate::disk::{Disk, RealDisk};
use crate::entropy::random;
use crate::grant::{Closure, Erasure, Layout, SnapshotStatus, State};
use crate::ids::CustomerId;
use crate::retention::certificate::{
    ApplicationLogs, Archive, Archives, At, Backups, Body, Certificate, Exception, ExceptionKind, Finding, Findings,
    Ledger, Live, Log, Logs, Method, Needles, Next, Part, People, Replica, Residue, Scope, Snapshot, Table, Times,
    Traces, Trigger, TriggerKind, page, verify,
};

/// The file's name in the owner's folder.
const NAME: &str = "certificate.json";
const PAGE: &str = "certificate.html";

impl World {
    /// The certificate of that closure so far.
    fn certificate(&self, customer: CustomerId, of: &Closure) -> Result<Option<Certificate>, Error> {
        let path = self.kept_path(customer, &format!("-{}.certificate.json", of.sequence.0));
        let text = match RealDisk.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let certificate = Certificate::from_text(&text);
        let damaged = || Error::Refused(format!("{} is damaged: bring it back from a copy", path.display()));
        certificate.ok_or_else(damaged).map(Some)
    }

    /// Which parts are signed.
    pub(super) fn certified(&self, customer: CustomerId, of: &Closure) -> Result<Vec<Part>, Error> {
        let certificate = self.certificate(customer, of)?;
        let next = certificate.map_or(Some(Part::Live), |certificate| certificate.next());
        Ok(Part::ALL.into_iter().filter(|part| next.is_none_or(|next| *part < next)).collect())
    }

    /// Signs that part and hands it over. The page is made of what a reader with the public key would see.
    pub(super) async fn certify(&self, case: &Case<'_>, part: Part) -> Result<(), Error> {
        let state = self.state().await?;
        let (customer, closure) = (case.customer.id, case.closure);
        let id = || hexadecimal(&random::<16>(self.acts.entropy.as_ref()));
        let mut certificate = self.certificate(customer, closure)?.unwrap_or_else(|| Certificate::new(&id()));
        certificate.sign(self.body(case, &state, part)?, &self.signer)?;
        let text = certificate.to_text();
        self.record(customer, "certificate.signed", format!("part {} ({part}) is signed", part.number())).await?;
        let public = aws_lc_rs::signature::KeyPair::public_key(self.signer.as_ref());
        let public: [u8; 32] = public.as_ref().try_into().map_err(|_| Error::Bug("a public key of another length"))?;
        let verdict = verify(&text, &public, self.acts.clock.now());
        // that the next part is late already is no fault of this one
        let is_fault = |finding: &&Finding| !matches!(finding, Finding::Overdue { .. });
        if let Some(finding) = verdict.findings.iter().find(is_fault) {
            return Err(Error::Refused(format!("the certificate does not verify: {finding}")));
        }
        let page = page(&verdict, &crate::retention::certificate::key_id(&public)).into_string();
        let folder = self.folder(customer);
        self.replace(&folder.join(NAME), text.as_bytes(), 0o640)?;
        self.replace(&folder.join(PAGE), page.as_bytes(), 0o640)?;
        let path = self.kept_path(customer, &format!("-{}.certificate.json", closure.sequence.0));
        self.replace(&path, text.as_bytes(), 0o600)
    }

    fn body(&self, case: &Case<'_>, state: &State, part: Part) -> Result<Body, Error> {
        let (customer, closure) = (case.customer, case.closure);
        let now = self.acts.clock.now();
        let (findings, started) = match part {
            Part::Live => (Findings::Live(live(case)?), closure.purge.begun),
            Part::Backups => (Findings::Backups(self.backups(case, state)?), closure.purge.verified.map(|(at, ..)| at)),
            Part::Archive => (Findings::Archive(archives(case, state, now)?), Some(closure.at)),
            Part::Logs => (Findings::Logs(self.logs(case)?), closure.values.begun()),
        };
        let next = Part::ALL.get(usize::from(part.number())).copied();
        let immediate = closure.immediate.map(|at| (TriggerKind::Request, at, "owner".to_owned()));
        let (kind, at, by) = immediate.unwrap_or((TriggerKind::Closure, closure.at, closure.by.word().to_owned()));
        Ok(Body {
            certificate: String::new(),
            part,
            number: 0,
            of: 0,
            issued: At(now),
            customer: customer.id.to_string(),
            account: None,
            controller: None,
            processor: None,
            sub_processors: Vec::new(),
            contract: None,
            trigger: Trigger { kind, at: At(at), by },
            scope: self.scope(case)?,
            method: Method {
                what: match customer.layout {
                    Layout::Shared => "DELETE in batches".to_owned(),
                    Layout::Database => "DROP DATABASE".to_owned(),
                    Layout::Schema => "DROP SCHEMA in batches".to_owned(),
                },
                tool: format!("portreeve {}", env!("CARGO_PKG_VERSION")),
                configuration: self.configuration.clone(),
                plan: closure.purge.planned.map(|(digest, _)| hexadecimal(&digest)).unwrap_or_default(),
            },
            people: People {
                planned: "system".to_owned(),
                approved: closure.purge.approved.iter().flatten().map(|(by, _)| by.to_string()).collect(),
                ran: format!("retention-{}", self.config.retention.id),
            },
            times: Times {
                started: At(started.unwrap_or(closure.at)),
                ended: At(now),
                clocks: self.clocks.agree,
                skew_ms: self.clocks.skew_ms,
            },
            findings,
            residue: residue(case),
            exceptions: exceptions(case, state),
            not_covered: self.not_covered(case, part)?,
            ledger: Ledger { sequence: state.sequence().0, hash: hexadecimal(&state.head()) },
            previous: None,
            next: next.map(|part| Next { part, due: At(due(part, case)) }),
        })
    }

    fn scope(&self, case: &Case<'_>) -> Result<Scope, Error> {
        let customer = case.customer;
        let map = self.map_of(customer)?;
        let tables = map.tables.values();
        let categories: BTreeSet<String> = tables
            .flat_map(|table| table.columns.values())
            .filter(|one| one.is_personal())
            .map(|one| one.word().to_owned())
            .collect();
        Ok(Scope {
            databases: vec![customer.database.clone()],
            tables: u64::try_from(case.kept.planned.len()).unwrap_or(0),
            layout: customer.layout.word().to_owned(),
            categories: categories.into_iter().collect(),
            subjects: Vec::new(),
        })
    }

    fn backups(&self, case: &Case<'_>, state: &State) -> Result<Backups, Error> {
        let (clean, ..) = case.closure.purge.verified.ok_or(Error::Bug("no verified purge"))?;
        let mut snapshots = Vec::new();
        for snapshot in state.snapshots().filter(|snapshot| self.may_hold(case.customer, snapshot, clean)) {
            let SnapshotStatus::Deleted { confirmed } = snapshot.status else {
                return Err(Error::Refused(format!("snapshot {} is not confirmed absent", snapshot.id)));
            };
            // what was gone before the closure held the rows of an open account
            if confirmed < case.closure.at {
                continue;
            }
            let backend = self.backends(case.customer).find(|backend| backend.number == snapshot.backend);
            snapshots.push(Snapshot {
                id: snapshot.id.to_string(),
                backend: backend.map_or_else(|| snapshot.backend.to_string(), |backend| backend.name.clone()),
                taken: At(snapshot.started),
                deleted: At(confirmed),
                absent: At(confirmed),
                seen_by: "list of the store".to_owned(),
            });
        }
        let purge = &case.closure.purge;
        let rechecked: BTreeSet<Timestamp> = purge
            .rechecked_first
            .iter()
            .chain(&purge.rechecked)
            .filter(|(_, rows)| *rows == 0)
            .map(|(at, _)| *at)
            .collect();
        Ok(Backups {
            held: u64::try_from(snapshots.len()).unwrap_or(0),
            snapshots,
            rechecked: rechecked.into_iter().map(At).collect(),
            wal_absent: None,
            replayed: 0,
        })
    }

    fn logs(&self, case: &Case<'_>) -> Result<Logs, Error> {
        let (skeleton, _) = done(case.closure.skeleton)?;
        let said =
            case.kept.application_logs.map(Timestamp).ok_or(Error::Bug("the application's logs are not over"))?;
        let age = self.config.promise.application_logs_max_age;
        let oldest = Timestamp(said.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
        let records = case.kept.records.iter().flatten();
        // both parts' keys are gone, or this part of the certificate would not be due
        let log = |(name, records): &(String, u64)| Log { name: name.clone(), records: *records, unreadable: *records };
        Ok(Logs {
            logs: records.map(log).collect(),
            skeleton_unreadable: At(skeleton),
            application: ApplicationLogs { oldest: At(oldest), said_by: "promise, not observed".to_owned() },
        })
    }

    fn not_covered(&self, case: &Case<'_>, part: Part) -> Result<Vec<String>, Error> {
        let mut not = Vec::new();
        match part {
            Part::Live => {
                not.push("snapshots, archives and logs: parts 2 to 4".to_owned());
                not.push("archived write-ahead log, and free space of the database's files".to_owned());
                if case.customer.layout == Layout::Shared {
                    not.push(self.left_open(case.customer)?);
                }
                let found = case.kept.verified.iter();
                not.extend(found.flat_map(|found| &found.unfenced).map(|table| {
                    format!("{table} has no write fence: a row of the customer could be written to it again")
                }));
            }
            Part::Backups => {
                not.push("copies that others made: foreign files in the stores are reported, never touched".to_owned());
                not.push("archived write-ahead log, which this version does not manage".to_owned());
                if self.backends(case.customer).next().is_none() {
                    not.push(format!("no back-end of this installation covers cluster {}", case.customer.cluster));
                }
            }
            Part::Archive => not.push("copies that the owner took home".to_owned()),
            Part::Logs => {
                if case.kept.records.is_none() {
                    not.push("how many records each audit log holds: the count is lost".to_owned());
                }
                not.push(
                    "the register's names of the account and its owners: deleted 30 days after this part".to_owned(),
                );
                not.push("the application's logs were not looked at: their term is over".to_owned());
            }
        }
        Ok(not)
    }
}

fn live(case: &Case<'_>) -> Result<Live, Error> {
    let lost =
        || Error::Refused("the notes of the purge are lost: bring the daemon's folder back from a copy".to_owned());
    let found = case.kept.verified.as_ref().ok_or_else(lost)?;
    let table = |(name, planned): &(String, u64)| Table {
        name: name.clone(),
        planned: *planned,
        deleted: found.deleted(name),
        left: 0,
    };
    Ok(Live {
        tables: case.kept.planned.iter().map(table).collect(),
        commit_lsn: found.position.clone(),
        replicas: found
            .replicas
            .iter()
            .map(|(name, at)| Replica { name: name.clone(), replayed: At(Timestamp(*at)) })
            .collect(),
        needles: Needles { probed: found.probed, found: 0 },
        orphans: 0,
    })
}

fn archives(case: &Case<'_>, state: &State, now: Timestamp) -> Result<Archives, Error> {
    let (values, keys) = done(case.closure.values)?;
    let mut archives = Vec::new();
    for export in state.exports_of(case.customer.id) {
        let (Some((made, ..)), Some(destroyed)) = (export.made, export.destroyed) else { continue };
        archives.push(Archive {
            id: export.id.to_string(),
            made: At(made),
            returned: None,
            deleted: At(destroyed),
            absent: At(now),
            key_destroyed: At(values),
        });
    }
    Ok(Archives { archives, value_keys: keys, values_unreadable: At(values) })
}

fn done(erasure: Erasure) -> Result<(Timestamp, u64), Error> {
    match erasure {
        Erasure::Done { at, keys, .. } => Ok((at, keys)),
        Erasure::Kept | Erasure::Begun { .. } => Err(Error::Bug("keys that are not destroyed would be certified")),
    }
}

fn residue(case: &Case<'_>) -> Residue {
    let found = case.kept.verified.clone().unwrap_or_default();
    let levels = [Traces::L0, Traces::L1, Traces::L2].into_iter().take(usize::from(found.level) + 1);
    Residue { levels: levels.collect(), report: found.report }
}

fn exceptions(case: &Case<'_>, state: &State) -> Vec<Exception> {
    let hold = |hold: &crate::grant::Hold| Exception {
        kind: ExceptionKind::Hold,
        authority: hold.id.to_string(),
        scope: "the archive and the keys of the audit log".to_owned(),
        review: Some(At(hold.review)),
    };
    state.holds_on(case.customer.id).map(hold).collect()
}
