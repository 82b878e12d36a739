//! A witness over HTTPS as others reach it: `curl`, on a port of its own.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::*;
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::cosignature::cosigned_by_lines;
use crate::audit::note::{Algorithm, Note, VerifierKey};
use crate::audit::tree::{leaf_hash, node_hash};
use crate::audit::witnessing::AddCheckpoint;
use crate::entropy::OsEntropy;
use crate::secret::Secret;

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32]))
}

fn checkpoint(size: u64) -> Checkpoint {
    let [first, second] = [b"1", b"2"].map(|leaf| leaf_hash(leaf));
    let root = if size == 1 { first } else { node_hash(&first, &second) };
    Checkpoint { origin: "portreeve/a".to_owned(), size, root }
}

struct Running {
    folder: TempDir,
    port: u16,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<(), StartError>>,
}

async fn start() -> (Running, VerifierKey) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let key = create(&RealDisk, &state, "witness.example/w1", &OsEntropy).expect("made");
    let log = VerifierKey { name: "portreeve/a".to_owned(), algorithm: Algorithm::Ed25519, public: signing().public() };
    std::fs::write(state.join("logs/a.vkey"), log.text()).expect("written");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, private) = (folder.path().join("crt"), folder.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&private, made.signing_key.serialize_pem()).expect("written");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listen = socket.local_addr().expect("an address");
    let settings = Settings { state, listen, certificate, key: private };
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(async move {
        run_on(&settings, socket, Arc::new(SystemClock), async move { drop(stopped.await) }).await
    });
    (Running { folder, port: listen.port(), stop, served }, key)
}

impl Running {
    /// Status, content type and body.
    async fn curl(&self, arguments: &[&str], path: &str) -> (String, String) {
        let ca = self.folder.path().join("crt");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(ca).args(["-w", "\n%{http_code} %{content_type}"]).args(arguments);
        curl.arg(format!("https://localhost:{}{path}", self.port)).stdin(Stdio::null());
        let output = curl.output().await.expect("it runs");
        let said = String::from_utf8(output.stdout).expect("text");
        let (body, status) = said.rsplit_once('\n').expect("a status");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (status.trim_end().to_owned(), body.to_owned())
    }

    async fn add(&self, request: &AddCheckpoint) -> (String, String) {
        self.curl(&["--data-binary", &request.to_body()], "/add-checkpoint").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_answers_over_https_as_the_specification_says() {
    let (running, key) = start().await;
    let note = checkpoint(1).sign(&signing());
    let first = AddCheckpoint { old: 0, proof: Vec::new(), note: note.clone() };
    let (status, line) = running.add(&first).await;
    assert!(status.starts_with("200"), "{status} {line}");
    let text = Note::read(&note).expect("a note").text.to_owned();
    assert!(cosigned_by_lines(&text, &line, &key).expect("it verifies").is_some());

    let longer = checkpoint(2).sign(&signing());
    let from_nothing = AddCheckpoint { old: 0, proof: Vec::new(), note: longer.clone() };
    assert_eq!(running.add(&from_nothing).await, ("409 text/x.tlog.size".to_owned(), "1\n".to_owned()));
    let without_proof = AddCheckpoint { old: 1, proof: Vec::new(), note: longer.clone() };
    assert!(running.add(&without_proof).await.0.starts_with("422"));
    let strange = AddCheckpoint { note: longer.replace("portreeve/a", "portreeve/b"), ..from_nothing.clone() };
    assert!(running.add(&strange).await.0.starts_with("404"));
    let by_another = checkpoint(2).sign(&SigningKey::from_seed(&Secret::new([2; 32])));
    assert!(running.add(&AddCheckpoint { note: by_another, ..from_nothing }).await.0.starts_with("403"));
    assert!(running.curl(&["--data-binary", "hello"], "/add-checkpoint").await.0.starts_with("400"));
    assert!(running.curl(&[], "/add-checkpoint").await.0.starts_with("405"));
    // With as many signatures as every note may have, of the longest kind there is; of strangers, they are not kept.
    let strangers = (1..16).map(|number| format!("— pq{number}.example/w {}\n", STANDARD.encode([7; 5000])));
    let note = format!("{longer}{}", strangers.collect::<String>());
    let with_proof = AddCheckpoint { old: 1, proof: vec![leaf_hash(b"2")], note };
    let (status, line) = running.add(&with_proof).await;
    assert!(status.starts_with("200"), "{status} {line}");

    let of_log = memory::file_name("portreeve/a");
    let (status, last) = running.curl(&[], &format!("/{of_log}/checkpoint")).await;
    assert_eq!((status.split(' ').next(), last), (Some("200"), format!("{longer}{line}")));
    let (status, _) = running.curl(&[], &format!("/{}/checkpoint", memory::file_name("portreeve/b"))).await;
    assert!(status.starts_with("404"), "{status}");

    running.stop.send(()).expect("it runs");
    running.served.await.expect("it ends").expect("in order");
}
