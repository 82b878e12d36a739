//! `audit verify`: every log against what is remembered of it elsewhere, by witnesses of the configuration and in files.
//! Not here: how a log is held against it (`log/growth.rs`), and what the register remembers (`verify.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::cosignature::cosigned;
use crate::audit::note::VerifierKey;
use crate::cli::{Context, Failure};
use crate::log::growth::{Remembered, compare};
use crate::log::verify::{Finding, Verdict};
use crate::witnesses::{At, Logs, Trouble, Witness, kept, notes_in, remembered, witnesses};

/// What is asked besides the logs themselves.
pub(super) struct Elsewhere {
    logs: Logs,
    /// Those of the configuration; none for a copy of the logs, which may be older.
    witnesses: Vec<Witness>,
    /// Notes of files, each with its file.
    notes: Vec<(PathBuf, String)>,
}

/// What was found about one log.
#[derive(Default)]
struct Found {
    remembered: Vec<Remembered>,
    findings: Vec<Finding>,
}

impl Elsewhere {
    /// Reads the files and finds out who is to be asked. `copy`: where the logs are instead.
    pub(super) fn of(context: &Context, copy: Option<&Path>, memory: &[PathBuf]) -> Result<Elsewhere, Failure> {
        let mut logs = Logs::of(&context.config);
        let mut notes = Vec::new();
        for path in memory {
            let read =
                notes_in(path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
            if read.is_empty() {
                let detail = "give the file of notes that a witness keeps, or a signed checkpoint";
                return Err(Failure::usage(format!("there is no checkpoint in {}: {detail}", path.display())));
            }
            notes.extend(read);
        }
        let witnesses = match copy {
            Some(copy) => {
                logs.audit = copy.to_owned();
                Vec::new()
            }
            None => witnesses(&context.config)?,
        };
        Ok(Elsewhere { logs, witnesses, notes })
    }

    /// Whether nobody elsewhere is asked, and nothing that was kept elsewhere was given.
    pub(super) fn is_nobody(&self) -> bool {
        self.witnesses.is_empty() && self.notes.is_empty()
    }

    /// What is found, each with the log's writer.
    pub(super) async fn findings(&self) -> Result<Vec<(String, Finding)>, Failure> {
        let there: BTreeSet<String> = self.logs.writers().map_err(Failure::failed)?.into_iter().collect();
        let mut findings = Vec::new();
        for writer in self.pinned()?.union(&there) {
            // That a log there is has no pinned key is found where it is verified.
            let Ok(key) = self.logs.key(writer) else { continue };
            let Found { remembered, findings: mut found } = self.about(writer, &key, there.contains(writer)).await;
            found.extend(self.held(writer, remembered, there.contains(writer))?);
            findings.extend(found.into_iter().map(|finding| (writer.clone(), finding)));
        }
        Ok(findings)
    }

    /// The writers whose logs' keys are pinned: their logs may be gone altogether.
    fn pinned(&self) -> Result<BTreeSet<String>, Failure> {
        let mut writers = BTreeSet::new();
        for entry in std::fs::read_dir(&self.logs.keys)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            writers.extend(name.strip_suffix(".vkey").map(str::to_owned));
        }
        Ok(writers)
    }

    /// Asks everybody about one log.
    async fn about(&self, writer: &str, key: &VerifierKey, is_there: bool) -> Found {
        let mut found = Found::default();
        for witness in &self.witnesses {
            let by = format!("witness \"{}\"", witness.name);
            match remembered(witness, key, writer).await {
                Ok(notes) if notes.is_empty() && is_there => {
                    found.find(key, Verdict::Unwitnessed, format!("{by} remembers nothing of it"));
                }
                Ok(notes) => notes.iter().for_each(|note| found.take(&by, note, key, Some(witness))),
                Err(trouble) => {
                    found.find(key, trouble.verdict(), format!("{by} cannot be asked: {trouble}"));
                    self.take_kept(&mut found, writer, key, witness);
                }
            }
        }
        let of_it = |note: &str| Checkpoint::claimed_origin(note) == Some(&key.name);
        for (file, note) in self.notes.iter().filter(|(_, note)| of_it(note)) {
            found.take(&file.display().to_string(), note, key, None);
        }
        found
    }

    /// What came back from a witness that cannot be asked now.
    fn take_kept(&self, found: &mut Found, writer: &str, key: &VerifierKey, witness: &Witness) {
        match kept(&self.logs.audit, writer) {
            Ok(kept) => {
                for (_, note) in kept.iter().filter(|(name, _)| *name == witness.name) {
                    let by = format!("what witness \"{}\" cosigned last, as far as is known here,", witness.name);
                    found.take(&by, note, key, Some(witness));
                }
            }
            Err(error) => {
                found.find(key, Verdict::Unwitnessed, format!("what it cosigned last cannot be read: {error}"))
            }
        }
    }

    fn held(&self, writer: &str, remembered: Vec<Remembered>, is_there: bool) -> Result<Vec<Finding>, Failure> {
        if is_there {
            let found = compare(&self.logs.audit.join(writer), remembered);
            // That it cannot be read is found where it is verified, too, and there with the place.
            return found.or_else(|error| match Trouble::from(error) {
                Trouble::Unreadable(why) => Err(Failure::failed(why)),
                trouble => Ok(vec![Finding {
                    verdict: trouble.verdict(),
                    place: crate::log::origin(writer),
                    detail: trouble.to_string(),
                }]),
            });
        }
        let newest = remembered.into_iter().max_by_key(|remembered| remembered.checkpoint.size);
        let gone = newest.filter(|newest| newest.checkpoint.size > 0).map(|Remembered { by, checkpoint }| Finding {
            verdict: Verdict::Missing,
            place: checkpoint.origin,
            detail: format!("{by} remembers {} leaves, and the log is not there", checkpoint.size),
        });
        Ok(gone.into_iter().collect())
    }
}

impl Found {
    fn find(&mut self, key: &VerifierKey, verdict: Verdict, detail: String) {
        self.findings.push(Finding { verdict, place: key.name.clone(), detail });
    }

    /// Takes a note if the log signed it, and the witness if it is one that signs.
    fn take(&mut self, by: &str, note: &str, key: &VerifierKey, witness: Option<&Witness>) {
        let checkpoint = match Checkpoint::open(note, &key.name, &key.public) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.find(key, Verdict::WrongKey, format!("{by}: {error}")),
        };
        if let Some(Witness { at: At::Endpoint(endpoint), .. }) = witness
            && !matches!(cosigned(note, &endpoint.key), Ok(Some(_)))
        {
            let detail = format!("{by}: the checkpoint is not cosigned by {}", endpoint.key.name);
            return self.find(key, Verdict::WrongKey, detail);
        }
        self.remembered.push(Remembered { by: by.to_owned(), checkpoint });
    }
}

#[cfg(test)]
#[path = "witnessed_tests.rs"]
mod tests;
