//! Reads the audit logs as `portreeve audit search` does, through the library.
//! Not here: what must stand in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portreeve::audit::keys::Recipients;
use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::Stage;
use portreeve::config;
use portreeve::keyring::{Client, init};
use portreeve::log::search::{self, Found, Query};

/// Somebody who may open records.
pub(crate) struct Auditor {
    /// Where the logs are.
    logs: PathBuf,
    keyring: Client,
    /// Where each log was read to.
    read: BTreeMap<String, u64>,
}

impl Auditor {
    pub(crate) async fn new(stage: &Stage, logs: &Path) -> Auditor {
        let config = config::load(&stage.configuration()).expect("the stage's configuration");
        let key = init::read_public_key(&config.keyring.public_key).expect("the keyring's public key");
        let keyring = Client::connect(&config.keyring.socket, key).await.expect("a keyring");
        Auditor { logs: logs.to_owned(), keyring, read: BTreeMap::new() }
    }

    /// The records of these kinds that came since the last reading, oldest first. None may fail to open.
    pub(crate) async fn news(&mut self, kinds: &[Kind]) -> Vec<Found> {
        let recipients = Recipients::new();
        self.keyring.known(&recipients).await.expect("everybody's tag keys");
        let dirs = search::logs(&self.logs).expect("the audit directory");
        let query = Query { kinds: kinds.to_vec(), from: self.read.clone(), ..Query::default() };
        let opener = |keys| self.keyring.open(keys, "a test", "to see that everything is recorded");
        let found = search::search(&dirs, &query, &recipients, opener).await.expect("readable logs");
        for found in &found {
            assert_eq!(found.fault, None, "a record does not open: {found:?}");
            assert!(found.still_sealed.is_empty(), "a record stays sealed: {found:?}");
            let next = self.read.entry(found.log.clone()).or_default();
            *next = (*next).max(found.position + 1);
        }
        found
    }
}
