//! An identity provider (npm's, or one made up), a stage whose portal goes to it, and acme open for reading.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::certificates::{Authority, Pair};
use portreeve::cli::demo::stage::{self, Stage, said};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Shown};

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// What the portal and the provider share.
const CLIENT_SECRET: &str = "a secret & more=100%";

/// Where the provider's certificate and secret are.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) ca: PathBuf,
    pub(crate) pair: Pair,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::create(folder.path(), "idp-ca").expect("an authority");
        let names = vec!["localhost".to_owned()];
        let pair = authority.issue(folder.path(), "idp", names, ExtendedKeyUsagePurpose::ServerAuth).expect("issued");
        Place { ca: authority.certificate.clone(), folder, pair }
    }

    /// The lines for `[staff.oidc]`, and for everything else.
    pub(crate) fn lines(&self, issuer: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let oidc = format!(
            "issuer = {issuer:?}\nclient_id = \"portreeve\"\nclient_secret_file = \"client.secret\"\nca = {:?}",
            self.ca
        );
        let own = [
            ("staff", "sign_in = \"token\""),
            ("staff.oidc", oidc.as_str()),
            // All of these come from one address.
            ("limits", "attempts_per_address = 1000\nattempts_per_name = 100"),
        ];
        own.iter().chain(more).map(|(section, line)| ((*section).to_owned(), (*line).to_owned())).collect()
    }
}

/// npm's oidc-provider.
struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    port: u16,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Node {
    fn start(place: &Place) -> Node {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/node/node_modules");
        assert!(modules.join("oidc-provider").exists(), "{} lacks oidc-provider: run make setup", modules.display());
        let mut node = Command::new("node");
        node.arg(root.join("tests/signing_in/node/provider.js")).arg(&place.pair.certificate).arg(&place.pair.key);
        node.env("NODE_PATH", modules).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = node.spawn().expect("node starts");
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("a line").expect("text").parse().expect("a port");
        Node { child, stdin, port, lines }
    }

    /// Tells it of its client, and waits until it knows.
    fn introduce(&mut self, callback: &str) {
        let client = json!({
            "client_id": "portreeve", "client_secret": CLIENT_SECRET, "redirect_uris": [callback],
            "response_types": ["code"], "grant_types": ["authorization_code"],
        });
        writeln!(self.stdin.as_mut().expect("open"), "{client}").expect("written");
        assert_eq!(self.lines.next().expect("a line").expect("text"), "ready");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It ends with its standard input.
        self.stdin = None;
        self.child.wait().expect("node ends");
    }
}

pub(crate) struct Ground {
    pub(crate) stage: Stage,
    pub(crate) place: Place,
    _node: Option<Node>,
}

impl Ground {
    /// With npm's provider.
    pub(crate) async fn with_provider(more: &[(&str, &str)]) -> Ground {
        let place = Place::new();
        let mut node = Node::start(&place);
        let issuer = format!("https://localhost:{}", node.port);
        let lines = place.lines(&issuer, more);
        let mut ground = Ground::with(place, lines).await;
        node.introduce(&ground.portal("/staff/oidc/callback"));
        ground._node = Some(node);
        ground
    }

    /// With a provider that somebody else plays, or none.
    pub(crate) async fn with(place: Place, lines: Vec<(String, String)>) -> Ground {
        let folder = place.folder.path().join("stage");
        fs::create_dir_all(&folder).expect("made");
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let binary = env!("CARGO_BIN_EXE_portreeve");
        let mut settings = stage::Settings { cache, lines, seed: false, ..stage::Settings::new(binary) };
        settings.directory = Some(folder.clone());
        secret(&folder.join("client.secret"), CLIENT_SECRET);
        let stage = Stage::set_up(settings).await.expect("a stage");
        // Both authorities, for browsers.
        let ca = stage.cluster.certificates().gate_ca.clone();
        let both = [fs::read(&ca).expect("read"), fs::read(&place.ca).expect("read")].concat();
        fs::write(place.folder.path().join("both.pem"), both).expect("written");
        let (status, answer) = stage.set_consent("acme", r#"{"mode":"standing","scope":"read"}"#).expect("on");
        assert_eq!(status, 200, "{answer}");
        Ground { stage, place, _node: None }
    }

    /// An address of the portal.
    pub(crate) fn portal(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.stage.portal_port())
    }

    /// A browser that nobody has used.
    pub(crate) fn browser(&self, name: &str) -> Browser {
        let folder = self.place.folder.path();
        Browser::new(folder.join(format!("{name}.jar")), folder.join("both.pem"))
    }

    /// The provider's own page, to which the portal leads.
    pub(crate) fn at_provider(&self, browser: &Browser) -> Shown {
        let shown = browser.follow(&self.portal("/staff/oidc"), None, &[], "\0");
        assert!(shown.status == 200 && shown.url.contains("/interaction/"), "{shown:?}");
        shown
    }

    /// Signs in at the provider as somebody, by these methods; what the portal then says.
    pub(crate) fn sign_in(&self, browser: &Browser, who: &str, methods: &str) -> Shown {
        let form = self.at_provider(browser);
        browser.follow(&form.url, Some(&format!("login={who}&amr={methods}")), &[], "\0")
    }

    /// A new short-lived password of jane's, which psql and our own commands then use.
    pub(crate) fn new_token(&self, browser: &str) -> String {
        let token = self.sign_in(&self.browser(browser), "jane", "pwd,otp").password();
        self.use_password(&token);
        token
    }

    /// What psql and our own commands sign in with as jane.
    pub(crate) fn use_password(&self, password: &str) {
        self.stage.write_secret("jane.password", password).expect("a file");
    }

    /// psql with one statement, as anybody.
    pub(crate) fn psql(&self, user: &str, password: &str, statement: &str) -> Output {
        let line = format!("*:*:*:{user}:{password}");
        let passfile = self.stage.write_secret(&format!("{user}.pgpass"), &line).expect("a file");
        let mut psql = Command::new("psql");
        psql.arg(self.stage.conninfo("acme").replace("user=jane", &format!("user={user}")));
        psql.args(["-X", "-w", "-v", "ON_ERROR_STOP=1", "-c", statement]).stdin(Stdio::null());
        psql.env("PGPASSFILE", passfile).env("PGCONNECT_TIMEOUT", "20");
        psql.output().expect("psql runs")
    }

    /// psql is let in, at the latest when the gate has heard of what was allowed a moment ago.
    pub(crate) fn is_let_in(&self, password: &str) {
        let until = Instant::now() + SOON;
        loop {
            let output = self.psql("jane", password, "select 'ins' || 'ide'");
            if output.status.success() {
                return assert!(said(&output).contains("inside"), "{}", said(&output));
            }
            assert!(Instant::now() < until, "{}", said(&output));
        }
    }

    /// psql is turned away; what it is told.
    pub(crate) fn is_turned_away(&self, user: &str, password: &str) -> String {
        let output = self.psql(user, password, "select 'ins' || 'ide'");
        assert!(!output.status.success() && !said(&output).contains("inside"), "{}", said(&output));
        said(&output)
    }

    /// What a command of ours says; it must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        said(&self.stage.run(arguments).expect("the command succeeds"))
    }

    /// The records of no customer, one a line.
    pub(crate) fn records(&self) -> Vec<Value> {
        let found = self.must(&["--format", "json", "audit", "search", "--limit", "0"]);
        found.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Whether a refusal with that word and text is recorded.
    pub(crate) fn is_recorded(&self, verb: &str, text: &str) {
        let found = self.records();
        let is_so = |record: &&Value| record["verb"] == *verb && record.to_string().contains(text);
        assert!(found.iter().any(|record| is_so(&record)), "{verb}, {text}: {found:#?}");
    }

    /// The files of the stage that hold these bytes, but for those that are listed.
    pub(crate) fn files_with(&self, bytes: &str, but: &[&str]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.place.folder.path().join("stage")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
                let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
                let name = entry.file_name().to_string_lossy().into_owned();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && !but.contains(&name.as_str()) {
                    let text = fs::read(&path).unwrap_or_default();
                    if text.windows(bytes.len()).any(|window| window == bytes.as_bytes()) {
                        found.push(path);
                    }
                }
            }
        }
        found
    }
}

/// A file that only its owner may read.
fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    writeln!(file, "{text}").expect("written");
}
