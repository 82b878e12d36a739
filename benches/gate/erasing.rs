//! Erasing one of ten thousand customers: its records are counted in the log, a notice is written, and a keyring of its own
//! destroys the keys, in its file and in a listed copy.
//! Not here: whether it may be done, and a long log (`long_log.rs`), in which counting takes as long as a search.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Part, Recipient, Recipients};
use portreeve::audit::public::{Lost, Notice};
use portreeve::audit::record::{Kind, Record};
use portreeve::clock::{Clock as _, SystemClock};
use portreeve::disk::{Disk, RealDisk};
use portreeve::entropy::OsEntropy;
use portreeve::ids::{CustomerId, EventId};
use portreeve::keyring::{Access, Client, Doom, Kept, Server, Settings, init};
use portreeve::log::count::count;
use portreeve::log::{self, Log};
use portreeve::secret::Secret;
use tokio::sync::oneshot;

use super::Failed;

const CUSTOMERS: u64 = 10_000;
/// Records of each in the log.
const RECORDS: u64 = 10;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn open_log(dir: &Path, name: &str, recipients: &Recipients) -> Result<Log, Failed> {
    let settings = log::Settings::new(name, signing(7));
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    Ok(Log::open(Arc::new(RealDisk), &dir.join(name), settings, recipients.clone(), clock, entropy)?)
}

/// Seconds for one.
pub async fn erase_s(dir: &Path) -> Result<f64, Failed> {
    fs::create_dir_all(dir)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let file = |name: &str| dir.join(name);
    let files = init::Files {
        keyring: file("keyring"),
        credential: file("credential"),
        keyring_public: file("keyring.pub"),
        portal_signing: file("portal.key"),
        portal_public: file("portal.pub"),
        instance: file("instance.key"),
        logs: vec![],
    };
    init::init(&files, &disk, &OsEntropy)?;
    let kept = Kept::open(Arc::clone(&disk), &files.keyring, &files.credential)?;
    let mut kept = kept.with_copies(vec![file("copy")])?;
    let public = kept.keyring().public_key()?;
    let own = kept.own_recipients(&SystemClock, &OsEntropy)?;
    let me = vec![rustix::process::getuid().as_raw()];
    let access = Access { writers: me.clone(), openers: me.clone(), destroyers: me };
    let settings = Settings::new(file("socket"), access);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let keyring_log = open_log(dir, "keyring-log", &own)?;
    let server = Server::bind(settings, kept, own, keyring_log, clock, entropy).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.run(async move {
        let _dropped = stopped.await;
    }));
    let client = Client::connect(&file("socket"), public).await?;
    let recipients = Recipients::new();
    let customers: Vec<_> = (0..CUSTOMERS).map(|number| Recipient::Customer(CustomerId(number))).collect();
    client.ensure(&recipients, &[Recipient::Vendor]).await?;
    client.ensure(&recipients, &customers).await?;
    let log = open_log(dir, "gate", &recipients)?;
    write(&log).await?;

    let begun = Instant::now();
    let (customer, event) = (CustomerId(CUSTOMERS / 2), EventId([9; 16]));
    let gates = dir.join("gate");
    let known = Recipients::new();
    client.known(&known).await?;
    let pinned = [("portreeve/gate".to_owned(), signing(7).public())].into();
    let counted = tokio::task::spawn_blocking(move || count(&[gates], customer, &known, &pinned)).await??;
    let lost = |part| {
        let logs = counted.iter().map(|counted| Lost { log: counted.log.clone(), records: counted.records });
        Notice::new(event, part, SystemClock.now(), logs.collect())
    };
    for part in Part::ALL {
        log.notice(lost(part)).await?;
    }
    let doom = Doom { event, recipient: Recipient::Customer(customer), parts: Part::ALL.to_vec(), periods: Vec::new() };
    let doomed = client.destroy(&doom).await?;
    let seconds = begun.elapsed().as_secs_f64();

    if counted.iter().map(|counted| counted.records).sum::<u64>() != RECORDS {
        return Err(format!("{counted:?} were counted instead of {RECORDS}").into());
    }
    if doomed.keys < 2 || !doomed.pending.is_empty() {
        return Err(format!("the keys are not destroyed: {doomed:?}").into());
    }
    log.close()?;
    drop(client);
    drop(stop);
    served.await??;
    fs::remove_dir_all(dir)?;
    Ok(seconds)
}

/// Records of every customer.
async fn write(log: &Log) -> Result<(), Failed> {
    for number in 0..CUSTOMERS {
        for _ in 0..RECORDS {
            let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(CustomerId(number)));
            record.values.text = Some(b"select 1".to_vec());
            log.note(record)?;
        }
        if number % 100 == 99 {
            let _receipt = log.record(Record::new(SystemClock.now(), Kind::Observed, None)).await?;
        }
    }
    Ok(())
}
