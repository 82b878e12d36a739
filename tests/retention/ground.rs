//! A daemon in this process on a clock that is moved: a cluster with one customer, a store, a register, a log, a keyring.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair};
use portreeve::cli::demo::cluster::{Cluster, Settings, postgres_bin};
use portreeve::clock::{Clock, Timestamp};
use portreeve::config::{self, Config};
use portreeve::disk::{Disk, RealDisk};
use portreeve::entropy::OsEntropy;
use portreeve::grant::{By, Draft, Layout, Personal, SnapshotStatus, State, Trust, What};
use portreeve::keeping::{Keeping, Shelf, Stock};
use portreeve::keyring::{self, Access, Kept, init};
use portreeve::log::{self, Log};
use portreeve::register::{Acts, Follower, Register};
use portreeve::retentiond::clocks::Witness;
use portreeve::retentiond::{Daemon, Turn, World};
use portreeve::secret::Secret;
use portreeve::snapshots::Found;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// 2027-01-01T00:00:00Z.
pub const START: i64 = 1_798_761_600_000_000;
pub const HOUR: i64 = 3_600_000_000;
pub const DAY: i64 = 24 * HOUR;
const PASSWORD: &str = "correct-horse-battery";

/// The time of everything but the real processes.
#[derive(Clone)]
pub struct Moved(Arc<AtomicI64>);

impl Moved {
    pub fn at(micros: i64) -> Moved {
        Moved(Arc::new(AtomicI64::new(micros)))
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        // Later at each look, as time is.
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The other clocks: they go with the moved one, but for what it jumps alone.
struct Others {
    wall: Moved,
    jumped: Arc<AtomicI64>,
}

impl Others {
    fn honest(&self) -> i64 {
        self.wall.now().0 - self.jumped.load(Ordering::Relaxed)
    }
}

impl Witness for Others {
    fn since_boot(&self) -> io::Result<Duration> {
        Ok(Duration::from_micros(u64::try_from(self.honest() - START + DAY).expect("after boot")))
    }

    fn boot(&self) -> io::Result<[u8; 16]> {
        Ok([4; 16])
    }

    fn database(&self, _said: Timestamp) -> Timestamp {
        Timestamp(self.honest())
    }
}

/// What outlives a daemon.
pub struct Place {
    pub cluster: Cluster,
    pub dir: TempDir,
    pub config: Config,
    pub clock: Moved,
    pub jumped: Arc<AtomicI64>,
    served: JoinHandle<Result<(), keyring::Error>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A place with a daemon.
pub struct Ground {
    pub place: Place,
    pub daemon: Daemon,
    /// Turns so far.
    pub turns: usize,
}

impl Deref for Ground {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl DerefMut for Ground {
    fn deref_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Place {
    /// A cluster with a small database and whoever may dump it, a keyring, an empty register; that `[promise]`.
    pub async fn new(promise: &str) -> Place {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        let cluster = Cluster::start(Settings { cache, ..Settings::default() }).await.expect("a cluster");
        let hba = cluster.directory().join("data/pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("readable");
        let road = "hostssl all portreeve_snapshot 127.0.0.1/32 scram-sha-256\n";
        fs::write(&hba, format!("{road}{lines}")).expect("writable");
        let role = format!(
            "create role portreeve_snapshot login password '{PASSWORD}' in role pg_read_all_data; \
             grant connect on database postgres to portreeve_snapshot; select pg_reload_conf()"
        );
        cluster.run_sql("postgres", &role).await.expect("a role");
        cluster.create_database("acme").await.expect("a database");
        cluster.run_sql("acme", "create table t (id int); insert into t values (1)").await.expect("a row");
        let dir = tempfile::tempdir().expect("a directory");
        let config = configuration(dir.path(), &cluster, promise);
        let (clock, jumped) = (Moved::at(START), Arc::new(AtomicI64::new(0)));
        let served = keyring(&config, &clock).await;
        Place { cluster, dir, config, clock, jumped, served }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves every clock to that moment.
    pub fn go_to(&self, at: i64) {
        assert!(at > self.now().0, "time goes on");
        self.clock.0.store(at, Ordering::Relaxed);
    }

    /// The wall clock jumps alone.
    pub fn jump(&self, by: i64) {
        self.clock.0.fetch_add(by, Ordering::Relaxed);
        self.jumped.fetch_add(by, Ordering::Relaxed);
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Moves every clock into the next slot of five days.
    pub fn next_slot(&self) {
        self.go_to((self.now().0.div_euclid(5 * DAY) + 1) * 5 * DAY + 1_000_000);
    }
}

/// A daemon at a place where none is, on that disk.
pub async fn daemon(config: &Config, clock: &Moved, jumped: &Arc<AtomicI64>, disk: &Arc<dyn Disk>) -> Daemon {
    let keeping = keeping(config, clock, disk);
    let public = init::read_public_key(&config.keyring.public_key).expect("a key");
    let keyring = keyring::Client::connect(&config.keyring.socket, public).await.expect("connected");
    let (register, trust) = (&config.register.path, keeping.acts.trust.clone());
    let seen = config.retention.state.join("seen");
    let follower = Follower::start(register, trust, &seen, Arc::new(clock.clone())).expect("followed");
    let signer = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).expect("a key");
    let world = World {
        config: config.clone(),
        keeping,
        follower,
        keyring,
        recipients: every_month(),
        signer: Arc::new(signer),
        stopped: watch::channel(false).1,
    };
    let witness = Arc::new(Others { wall: clock.clone(), jumped: Arc::clone(jumped) });
    Daemon::new(world, witness, Arc::new(AtomicBool::new(false)))
}

impl Ground {
    /// A daemon that has not run yet, with that `[promise]` and a dump of one small database.
    pub async fn new(promise: &str) -> Ground {
        Ground::on(promise, Arc::new(RealDisk)).await
    }

    /// As [`Ground::new`], on that disk.
    pub async fn on(promise: &str, disk: Arc<dyn Disk>) -> Ground {
        let place = Place::new(promise).await;
        let daemon = daemon(&place.config, &place.clock, &place.jumped, &disk).await;
        customer(&daemon.world.keeping).await;
        daemon.world.keeping.stock.shelf("nightly").expect("a back-end").create(&OsEntropy).expect("a store");
        Ground { place, daemon, turns: 0 }
    }

    /// Ends the daemon, so that another can have its log.
    pub fn rest(self) -> Place {
        let log = self.daemon.world.keeping.acts.log.clone();
        drop(self.daemon);
        log.close().expect("the log closes");
        self.place
    }

    /// A daemon where one was before.
    pub async fn wake(place: Place, disk: Arc<dyn Disk>) -> Ground {
        let daemon = daemon(&place.config, &place.clock, &place.jumped, &disk).await;
        Ground { place, daemon, turns: 0 }
    }

    pub async fn turn(&mut self) -> Turn {
        self.turns += 1;
        let now = self.clock.now();
        self.daemon.turn(now).await.expect("a turn")
    }

    pub fn keeping(&self) -> &Keeping {
        &self.daemon.world.keeping
    }

    pub fn shelf(&self) -> &Shelf {
        self.keeping().stock.shelf("nightly").expect("a back-end")
    }

    /// Ours in the store's own list, by file: when each was begun.
    pub fn listed(&self) -> BTreeMap<String, Timestamp> {
        let store = self.shelf().open().expect("the store");
        let found = store.list().expect("listed");
        let ours = found.into_iter().filter_map(|found| match found {
            Found::Ours(ours) => Some((ours.header.id().to_string(), ours.header.started())),
            Found::Foreign(_) => None,
        });
        ours.collect()
    }

    /// No snapshot in the store is older than the promise says, and the directory holds what the list says.
    pub fn nothing_is_too_old(&self, days: i64) {
        let (now, listed) = (self.now(), self.listed());
        let old: Vec<_> = listed.iter().filter(|(_, started)| now.0 - started.0 >= days * DAY).collect();
        assert!(old.is_empty(), "at {now}: {old:?}");
        for name in fs::read_dir(self.store()).expect("a directory") {
            let name = name.expect("an entry").file_name().to_string_lossy().into_owned();
            if let Some(id) = name.strip_suffix(".snapshot") {
                assert!(listed.contains_key(id), "{name} is not listed");
            }
        }
    }

    pub async fn state(&self) -> Arc<State> {
        self.keeping().stock.state().await.expect("the register")
    }

    /// What the register says is gone is not in the store, and what it says is there is.
    pub async fn register_and_store_agree(&self) {
        let (state, listed) = (self.state().await, self.listed());
        for snapshot in state.snapshots() {
            let is_there = listed.contains_key(&snapshot.id.to_string());
            match snapshot.status {
                SnapshotStatus::Deleted { .. } => assert!(!is_there, "{} was said to be gone", snapshot.id),
                SnapshotStatus::Verified => assert!(is_there, "{} is lost", snapshot.id),
                SnapshotStatus::Begun
                | SnapshotStatus::Failed
                | SnapshotStatus::Adopted
                | SnapshotStatus::Expiring { .. } => unreachable!("{snapshot:?} has no outcome"),
            }
        }
    }

    /// The next moment at which something is due: a slot, or a snapshot's day.
    pub fn next(&self, every: i64) -> i64 {
        let now = self.now().0;
        let rules = &self.keeping().stock.rules;
        let age_min = rules.solution().of("nightly").expect("solved").age_min.as_micros();
        let age_min = i64::try_from(age_min).expect("a span");
        let slot = (now.div_euclid(every) + 1) * every;
        // What became due within the last turn is due at once.
        let due = self.listed().values().map(|started| (started.0 + age_min).max(now)).min();
        due.map_or(slot, |due| due.min(slot)) + 1_000_000
    }
}

fn configuration(dir: &Path, cluster: &Cluster, promise: &str) -> Config {
    for folder in ["retention", "run", "register", "audit"] {
        fs::create_dir_all(dir.join(folder)).expect("a folder");
    }
    let (public, _) = generate_key_pair();
    let digits: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(dir.join("snapshots.pub"), format!("{digits}\n")).expect("written");
    let password = dir.join("snapshots.password");
    fs::write(&password, format!("{PASSWORD}\n")).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&password, mode).expect("closed");
    let text = format!(
        "[clusters.main]\nhost = \"127.0.0.1\"\nport = {}\nca = {:?}\ncertificate = \"c\"\nkey = \"k\"\n\
         password_file = \"p\"\n[portal]\npublic_url = \"https://localhost\"\n[register]\npath = \"register/r.sqlite\"\n\
         [audit]\ndirectory = \"audit\"\n\
         [keyring]\nsocket = \"keyring.sock\"\nfile = \"keyring\"\ncredential = \"credential\"\n\
         public_key = \"keyring.pub\"\n[promise]\n{promise}\n[retention]\nstate = \"retention\"\nruntime = \"run\"\n\
         programs = {:?}\n[snapshots.nightly]\nkind = \"dump\"\ncluster = \"main\"\ndirectory = \"store\"\n\
         recipient = \"snapshots.pub\"\npassword_file = \"snapshots.password\"\n",
        cluster.port(),
        cluster.certificates().cluster_ca,
        postgres_bin().expect("PostgreSQL"),
    );
    let path = dir.join("portreeve.toml");
    fs::write(&path, text).expect("written");
    config::load(&path).expect("a configuration")
}

/// A keyring behind its socket, on the moved clock.
async fn keyring(config: &Config, clock: &Moved) -> JoinHandle<Result<(), keyring::Error>> {
    let dir = config.retention.state.parent().expect("a folder").to_owned();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let files = init::Files {
        keyring: config.keyring.file.clone(),
        credential: config.keyring.credential.clone(),
        keyring_public: config.keyring.public_key.clone(),
        portal_signing: dir.join("portal.key"),
        portal_public: dir.join("portal.pub"),
        instance: dir.join("instance.key"),
        logs: Vec::new(),
    };
    init::init(&files, &disk, &OsEntropy).expect("made");
    let mut kept = Kept::open(disk, &files.keyring, &files.credential).expect("opened");
    kept.own_recipients(clock, &OsEntropy).expect("made");
    // It makes them by the machine's time, and records by the moved one.
    let own = every_month();
    let log = open_log(&dir.join("audit"), "keyring", &own, clock, Arc::new(RealDisk));
    let uid = rustix::process::getuid().as_raw();
    let access = Access { writers: vec![uid], openers: vec![uid], destroyers: vec![uid] };
    let settings = keyring::Settings::new(config.keyring.socket.clone(), access);
    let seam: Arc<dyn Clock> = Arc::new(clock.clone());
    let server = keyring::Server::bind(settings, kept, own, log, seam, Arc::new(OsEntropy)).await.expect("bound");
    tokio::spawn(server.run(std::future::pending()))
}

/// Stores and acts.
fn keeping(config: &Config, clock: &Moved, disk: &Arc<dyn Disk>) -> Keeping {
    let trust = Trust { portal_key: [0; 32] };
    let register = Register::open(&config.register.path, trust.clone()).expect("a register");
    let (log, recipients) = (config.audit.directory.join("here"), every_month());
    let acts = Acts {
        register: register.clone(),
        log: open_log(&log, "retention-keeper-1", &recipients, clock, Arc::clone(disk)),
        trust,
        sockets: Vec::new(),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(OsEntropy),
    };
    let stock = Stock::new(config, &Secret::new([7; 32]), register, disk).expect("stock");
    Keeping { stock, acts }
}

/// One customer, with a database of its own.
async fn customer(keeping: &Keeping) {
    let word = |word: &str| Some(word.to_owned());
    let personal =
        Personal { name: word("acme"), cluster: word("main"), database: word("acme"), ..Personal::default() };
    let what = What::CustomerCreated { layout: Layout::Database };
    let draft = Draft { by: By::Operator, what, personal: Some(personal) };
    keeping.acts.act(None, |_| Ok(draft.clone())).await.expect("a customer");
}

/// The vendor's keys for every month that is simulated.
fn every_month() -> Recipients {
    let recipients = Recipients::new();
    let (public, _) = generate_key_pair();
    let months = (2026..=2029_u32).flat_map(|year| (1..=12).map(move |month| year * 100 + month));
    for (period, part) in months.flat_map(|month| Part::ALL.map(|part| (month, part))) {
        recipients.set(RecipientKey { recipient: Recipient::Vendor, part, period, public, signature: [0; 64] });
    }
    recipients.set_tag(Recipient::Vendor, TagKey(Secret::new([9; 32])));
    recipients
}

fn open_log(dir: &Path, writer: &str, recipients: &Recipients, clock: &Moved, disk: Arc<dyn Disk>) -> Log {
    let signing = SigningKey::from_seed(&Secret::new([3; 32]));
    let settings = log::Settings { segment_bytes: 4 << 20, reserve_bytes: 0, ..log::Settings::new(writer, signing) };
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let dir = dir.join(writer);
    Log::open(disk, &dir, settings, recipients.clone(), clock, Arc::new(OsEntropy)).expect("a log")
}
