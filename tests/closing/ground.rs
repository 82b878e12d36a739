//! The stage's database, register and keys; the keyring within this process, by a clock that is moved.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Recipient, Recipients};
use portreeve::audit::public::{Lost, Notice};
use portreeve::cli::demo::stage::{self, CUSTOMERS, SHARED_DATABASE, Stage};
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::config::{self, Config};
use portreeve::datamap::DataMap;
use portreeve::disk::{Disk, RealDisk};
use portreeve::entropy::{Entropy, OsEntropy};
use portreeve::grant::{
    AccountStep, By, Closure, Customer, Draft, Personal, RecordPart, Stage as Reached, State, Trust, What,
};
use portreeve::ids::SnapshotId;
use portreeve::keeping::{Keeping, Stock};
use portreeve::keyring::{self, Access, Doom, Kept, init};
use portreeve::log::count::count;
use portreeve::log::{self, Log};
use portreeve::purge::{Pace, Road, Scrub, prepare};
use portreeve::register::{Acts, Doomed, Erased, Follower, Gone, Register};
use portreeve::retentiond::clocks::Witness;
use portreeve::retentiond::closing::{Clocks, Snapshots, Turned, Upstream, World, turn};
use portreeve::retentiond::{self, Daemon};
use portreeve::secret::Secret;
use portreeve::snapshots::{Instance, Store};
use tokio::sync::{oneshot, watch};

pub const DAY: Duration = Duration::from_secs(86_400);

const MAP: &str = r#"
version = 1
layout = "shared"
tenant = "tenant_id"
tables."public.countries" = { erase = "keep", reason = "the same for everybody", columns = { code = "none", name = "none" } }
[tables."public.contacts".columns]
tenant_id = "pseudonym"
id = "pseudonym"
full_name = "identity"
email = "contact"
country = "location"
[tables."public.orders".columns]
tenant_id = "pseudonym"
id = "pseudonym"
contact_id = "pseudonym"
total_cents = "financial"
placed_at = "behaviour"
"#;

/// The machine's time and some days.
pub struct Moved(pub AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

/// Clocks that agree with the one that is moved.
struct Follows {
    clock: Arc<Moved>,
    since: Timestamp,
}

impl Witness for Follows {
    fn since_boot(&self) -> std::io::Result<Duration> {
        Ok(self.clock.now().since(self.since))
    }

    fn boot(&self) -> std::io::Result<[u8; 16]> {
        Ok([1; 16])
    }

    fn database(&self, _said: Timestamp) -> Timestamp {
        self.clock.now()
    }
}

/// How long it may take to kill turns at one moment after the other, until one is over: on a busy machine too.
pub const KILLS_WITHIN: Duration = Duration::from_secs(100);

/// Polls that work so many times and then drops it, which is as killing the process: in the midst of what it waits for, or, for
/// every second number, when that has come. What it came to, if it was over by then.
///
/// Not by time: how far some milliseconds get it is another matter on each machine.
pub async fn killed_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(came_to) => Poll::Ready(Some(came_to)),
            Poll::Pending if left == 0 && polls % 2 == 1 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub struct Ground {
    pub stage: Stage,
    pub clock: Arc<Moved>,
    /// What the data map says besides.
    pub more_map: String,
    keyring: Option<Served>,
}

struct Served {
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        // its files are about to go
        if let Some(served) = self.keyring.take() {
            served.done.abort();
        }
    }
}

impl Ground {
    /// acme and globex with a database each, initech and umbrella in shared tables; all open.
    pub async fn new() -> Ground {
        let mut settings = stage::Settings::new(env!("CARGO_BIN_EXE_portreeve"));
        settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let mut stage = Stage::set_up(settings).await.expect("a stage");
        (stage.proxy, stage.portal, stage.keyring) = (None, None, None);
        std::fs::create_dir_all(stage.path("retention")).expect("a folder");
        std::fs::create_dir_all(stage.path("archives")).expect("a folder");
        for database in CUSTOMERS.iter().copied().chain([SHARED_DATABASE, "postgres"]) {
            let road = Road::new(&Secret::new(stage.cluster.superuser_dsn("postgres")), None).expect("a road");
            prepare(&road.connect(database).await.expect("a connection")).await.expect("prepared");
        }
        let hba = stage.cluster.directory().join("data/pg_hba.conf");
        let lines = std::fs::read_to_string(&hba).expect("pg_hba.conf");
        std::fs::write(&hba, format!("local all portreeve_maintenance trust\n{lines}")).expect("written");
        stage.cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
        let began = Instant::now();
        let road = Road::new(&Secret::new(maintenance(&stage)), None).expect("a road");
        while let Err(error) = road.connect("postgres").await {
            assert!(began.elapsed() < Duration::from_secs(10), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let clock = Arc::new(Moved(AtomicI64::new(0)));
        let mut ground = Ground { stage, clock, more_map: String::new(), keyring: None };
        let store = ground.stage.path("snapshots");
        Store::create(Arc::new(RealDisk), &store, instance(), &OsEntropy).expect("a store");
        ground.serve().await;
        ground
    }

    pub fn config(&self) -> Arc<Config> {
        configuration(&self.stage.configuration())
    }

    /// Starts the keyring by the moved clock, again after each jump: its own keys are made at its start.
    async fn serve(&mut self) {
        let config = self.config();
        let clock: Arc<dyn Clock> = Arc::<Moved>::clone(&self.clock);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let mut kept =
            Kept::open(Arc::new(RealDisk), &config.keyring.file, &config.keyring.credential).expect("a keyring");
        let own = kept.own_recipients(&*clock, &*entropy).expect("keys");
        let seed = init::read_seed(&config.keyring.log_key).expect("a seed");
        let directory = config.audit.directory.join("keyring");
        let log = opened(&directory, || settings_of(&config, "keyring", &seed), &own, &clock).await;
        let uid = rustix::process::getuid().as_raw();
        let access = Access { writers: vec![uid], openers: vec![uid], destroyers: vec![uid] };
        let settings = keyring::Settings::new(config.keyring.socket.clone(), access);
        let server =
            keyring::Server::bind(settings, kept, own, log.clone(), clock, entropy).await.expect("the socket is free");
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let ended = server.run(async { stopped.await.unwrap_or_default() }).await;
            ended.expect("the keyring serves to its end");
            log.close().expect("its log closes");
        });
        self.keyring = Some(Served { stop, done });
    }

    /// Later by so long.
    pub async fn later(&mut self, span: Duration) {
        // its log closes by the time it was written by
        if let Some(Served { stop, done }) = self.keyring.take() {
            stop.send(()).expect("the keyring still answers");
            done.await.expect("no panic");
        }
        self.clock.0.fetch_add(i64::try_from(span.as_micros()).expect("short"), Ordering::SeqCst);
        self.serve().await;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn world(&self) -> World {
        let clock = Arc::<Moved>::clone(&self.clock);
        let mut world = world(&self.stage.configuration(), clock, &maintenance(&self.stage)).await;
        world.maps = maps(&format!("{MAP}{}", self.more_map));
        world
    }

    /// One turn by a daemon of its own.
    pub async fn turn(&self) -> Turned {
        let world = self.world().await;
        let turned = turn(&world, self.now()).await.expect("a turn");
        world.acts.log.close().expect("the log closes");
        turned
    }

    /// One turn in which nothing may fail.
    pub async fn well(&self) -> Turned {
        let turned = self.turn().await;
        assert_eq!(turned.troubles, [], "a turn without trouble");
        turned
    }

    /// The whole daemon, snapshots included, by the moved clock.
    pub async fn daemon(&self) -> Daemon {
        let world = self.world().await;
        let config = (*world.config).clone();
        let key = init::read_seed(&config.retention.instance_key).expect("a seed");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let stock = Stock::new(&config, &key, world.acts.register.clone(), &disk).expect("a stock");
        let (seen, clock) = (config.retention.state.join("seen"), Arc::clone(&world.acts.clock));
        let follower = Follower::start(&config.register.path, trust(&config), &seen, clock).expect("a follower");
        let keeping = Keeping { stock, acts: world.acts };
        let World { keyring, recipients, signer, stop: stopped, .. } = world;
        let world = retentiond::World { config, keeping, follower, keyring, recipients, signer, stopped };
        let witness = Follows { clock: Arc::clone(&self.clock), since: self.now() };
        Daemon::new(world, Arc::new(witness), Arc::new(AtomicBool::new(false)))
    }

    /// Destroys one part's keys as `portreeve keys destroy` does: a notice, the keyring, the register. How many records it
    /// told of.
    pub async fn destroyed_by_hand(&self, name: &str, part: RecordPart) -> u64 {
        let world = self.world().await;
        let (customer, config) = (self.customer(name).id, &world.config);
        let known = Recipients::new();
        world.keyring.known(&known).await.expect("tag keys");
        let logs = keyring::pinned::logs(&config.audit.directory, &config.keyring.public_key).expect("listed");
        let counted = count(logs.dirs(), customer, &known, logs.keys()).expect("counted");
        let records = counted.iter().map(|counted| counted.records).sum();
        let (terms, lawful, world) = (portreeve::keeping::terms(&world.config.promise), self.now(), &world);
        let destroy = |doomed: Doomed| async move {
            let lost = counted.into_iter().map(|counted| Lost { log: counted.log, records: counted.records });
            let notice = Notice::new(doomed.event, doomed.part, lawful, lost.collect());
            world.acts.log.notice(notice).await.expect("durable");
            let (recipient, parts) = (Recipient::Customer(doomed.customer), vec![doomed.part]);
            let doom = Doom { event: doomed.event, recipient, parts, periods: Vec::new() };
            let done = world.keyring.destroy(&doom).await?;
            Ok::<Gone, keyring::Error>(Gone { keys: done.keys, pending: done.pending })
        };
        let erased = world.acts.erase((customer, part), &terms, destroy).await.expect("it is due");
        assert!(matches!(erased, Erased::Done(keys) if keys > 0), "{erased:?}");
        world.acts.log.clone().close().expect("the log closes");
        records
    }

    pub fn state(&self) -> Arc<State> {
        let config = self.config();
        Register::open(&config.register.path, trust(&config)).expect("a register").state().expect("a state")
    }

    /// Whether the bytes stand in any of the register's files.
    pub fn register_holds(&self, needle: &str) -> bool {
        let folder = self.config().register.path.parent().expect("a folder").to_owned();
        let files = std::fs::read_dir(folder).expect("a folder");
        let mut holds = files.map(|file| std::fs::read(file.expect("an entry").path()).expect("a file"));
        holds.any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
    }

    pub fn customer(&self, name: &str) -> Customer {
        self.state().customer_named(name).expect("a customer").clone()
    }

    pub fn closure(&self, name: &str) -> Closure {
        self.customer(name).closure.expect("it is closed")
    }

    pub fn stage_of(&self, name: &str) -> Reached {
        self.closure(name).stage()
    }

    /// An act of somebody: an owner's is signed by the portal's key.
    pub async fn act(&self, by: By, what: What, personal: Option<Personal>) -> Result<(), String> {
        let world = self.world().await;
        let seed = init::read_seed(&world.config.portal.signing_key).expect("a seed");
        let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a key");
        let draft = |_: &State| Ok(Draft { by, what, personal: personal.clone() });
        let done = world.acts.act(Some(&key), draft).await;
        world.acts.log.close().expect("the log closes");
        done.map(drop).map_err(|error| error.to_string())
    }

    pub async fn account(&self, name: &str, step: AccountStep) -> Result<(), String> {
        let customer = self.customer(name).id;
        let owner = self.state().owners_of(customer).next().expect("an owner").id;
        self.act(By::Owner(owner), What::Account { customer, step }, None).await
    }

    pub async fn close(&self, name: &str) {
        let customer = self.customer(name).id;
        self.act(By::Operator, What::Account { customer, step: AccountStep::Closed }, None).await.expect("closed");
    }

    pub async fn hold(&self, name: &str, days: u32) {
        let (customer, review) = (self.customer(name).id, self.now().plus(DAY * days));
        self.act(By::Operator, What::HoldPlaced { customer, review }, Some(words())).await.expect("held");
    }

    pub async fn release(&self, name: &str) {
        let customer = self.customer(name).id;
        let hold = self.state().holds_on(customer).next().expect("a hold").id;
        self.act(By::Operator, What::HoldReleased { hold }, Some(words())).await.expect("released");
    }

    pub async fn snapshot(&self, id: u8, step: portreeve::grant::SnapshotStep) {
        let snapshot = SnapshotId([id; 16]);
        self.act(By::System, What::Snapshot { snapshot, step }, None).await.expect("it follows");
    }

    /// The first column of all rows.
    pub async fn column(&self, database: &str, sql: &str) -> Vec<String> {
        let rows = self.stage.cluster.run_sql(database, sql).await.expect(sql);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// Rows of a tenant in the shared tables.
    pub async fn rows(&self, tenant: u32) -> String {
        let sql = format!(
            "select (select count(*) from contacts where tenant_id = {tenant}) + (select count(*) from orders where
             tenant_id = {tenant})"
        );
        self.column(SHARED_DATABASE, &sql).await.concat()
    }

    /// A digest of everything that is not that tenant's.
    pub async fn others(&self, tenant: u32) -> Vec<String> {
        let sql = format!(
            "select md5(string_agg(c::text, ',' order by tenant_id, id)) from contacts c where tenant_id <> {tenant}
             union all select md5(string_agg(o::text, ',' order by tenant_id, id)) from orders o
                 where tenant_id <> {tenant}
             union all select md5(string_agg(k::text, ',' order by code)) from countries k"
        );
        self.column(SHARED_DATABASE, &sql).await
    }

    /// Files in the folder that the portal serves.
    pub fn files(&self, name: &str) -> Vec<String> {
        let folder = self.config().portal.archives.join(self.customer(name).id.to_string());
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Checks the certificate as anybody would, by the moved clock.
    pub fn verified(&self, name: &str) -> portreeve::retention::certificate::Verdict {
        let path = self.config().portal.archives.join(self.customer(name).id.to_string()).join("certificate.json");
        let text = std::fs::read_to_string(path).expect("a certificate");
        portreeve::retention::certificate::verify(&text, &self.public_key(), self.now())
    }

    pub fn public_key(&self) -> [u8; 32] {
        use aws_lc_rs::signature::KeyPair as _;
        signer(&self.config()).public_key().as_ref().try_into().expect("32 bytes")
    }

    /// Whether the keyring still opens what was sealed to that customer.
    pub async fn opens(&self, name: &str) -> bool {
        let config = self.config();
        let key = init::read_public_key(&config.keyring.public_key).expect("a key");
        let client = keyring::Client::connect(&config.keyring.socket, key).await.expect("a keyring");
        let wanted = [Recipient::Customer(self.customer(name).id)];
        client.ensure(&Recipients::new(), &wanted).await.is_ok()
    }
}

fn words() -> Personal {
    Personal {
        authority: Some("court".to_owned()),
        reason: Some("a suit is pending".to_owned()),
        ..Personal::default()
    }
}

pub fn maintenance(stage: &Stage) -> String {
    stage
        .cluster
        .superuser_dsn("postgres")
        .replace("user='postgres'", "user=portreeve_maintenance")
        .replace("user=postgres", "user=portreeve_maintenance")
}

fn instance() -> Instance {
    Instance::new(*b"the-instance-one", &Secret::new([7; 32]))
}

fn configuration(path: &Path) -> Arc<Config> {
    let mut config = config::load(path).expect("a configuration");
    let folder = path.parent().expect("a folder");
    config.portal.archives = folder.join("archives");
    Arc::new(config)
}

fn trust(config: &Config) -> Trust {
    Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") }
}

fn signer(config: &Config) -> Ed25519KeyPair {
    let seed = init::read_seed(&config.retention.log_key).expect("a seed");
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a key")
}

fn settings_of(config: &Config, writer: &str, seed: &Secret<[u8; 32]>) -> log::Settings {
    let audit = &config.audit;
    log::Settings::new(writer, SigningKey::from_seed(seed)).sized(
        audit.segment_bytes,
        audit.reserve_bytes,
        audit.epoch_after,
        audit.epoch_bytes,
    )
}

/// Waits for whoever had the log before, killed or not.
async fn opened(
    directory: &Path,
    settings: impl Fn() -> log::Settings,
    recipients: &Recipients,
    clock: &Arc<dyn Clock>,
) -> Log {
    let began = Instant::now();
    loop {
        let (clock, entropy) = (Arc::clone(clock), Arc::new(OsEntropy));
        match Log::open(Arc::new(RealDisk), directory, settings(), recipients.clone(), clock, entropy) {
            Err(log::Error::Locked(_)) if began.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.expect("a log"),
        }
    }
}

fn maps(text: &str) -> BTreeMap<String, Result<DataMap, String>> {
    let map = DataMap::parse("datamap.toml", text).expect("a data map");
    BTreeMap::from([(format!("main/{SHARED_DATABASE}"), Ok(map))])
}

/// A daemon's world, as it is after a start.
pub async fn world(configuration_file: &Path, clock: Arc<Moved>, maintenance: &str) -> World {
    let config = configuration(configuration_file);
    let key = init::read_public_key(&config.keyring.public_key).expect("a key");
    let keyring = keyring::Client::connect(&config.keyring.socket, key).await.expect("a keyring");
    let register = Register::open(&config.register.path, trust(&config)).expect("a register");
    let recipients = Recipients::new();
    let state = register.state().expect("a state");
    let wanted: Vec<Recipient> =
        std::iter::once(Recipient::Vendor).chain(state.sealed_to().map(Recipient::Customer)).collect();
    keyring.ensure(&recipients, &wanted).await.expect("keys");
    let clock: Arc<dyn Clock> = clock;
    let seed = init::read_seed(&config.retention.log_key).expect("a seed");
    let writer = format!("retention-{}", config.retention.id);
    let directory = config.audit.directory.join(&writer);
    let log = opened(&directory, || settings_of(&config, &writer, &seed), &recipients, &clock).await;
    let road = Road::new(&Secret::new(maintenance.to_owned()), None).expect("a road");
    let upstream = Upstream { road, maintenance_database: "postgres".to_owned(), replicas: Vec::new() };
    let folder = configuration_file.parent().expect("a folder").join("snapshots");
    let store = Store::open(Arc::new(RealDisk), &folder, instance()).expect("a store");
    let snapshots = Snapshots { number: 1, name: "main".to_owned(), cluster: "main".to_owned(), store };
    World {
        acts: Acts { register, log, trust: trust(&config), sockets: Vec::new(), clock, entropy: Arc::new(OsEntropy) },
        recipients,
        keyring,
        configuration: "ab".repeat(32),
        signer: Arc::new(signer(&config)),
        maps: maps(MAP),
        upstreams: BTreeMap::from([("main".to_owned(), Ok(upstream))]),
        snapshots: Some(vec![snapshots]),
        pace: Pace { rows_first: 100, rows_max: 100, rest_percent: 0, ..Pace::default() },
        scrub: Scrub::None,
        recorded: Arc::default(),
        clocks: Clocks { is_frozen: false, agree: 3, skew_ms: 0 },
        stop: watch::channel(false).1,
        config,
    }
}
