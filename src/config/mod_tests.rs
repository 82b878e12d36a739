//! Configurations, good and bad, as tables; and the one we ship.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::source::Source;
use super::*;

/// The least that is a configuration.
const LEAST: &str = r#"
[clusters.main]
host = "db"
ca = "ca.crt"
certificate = "client.crt"
key = "client.key"
password_file = "password"
[portal]
public_url = "https://access.example.com/"
"#;

fn read(text: &str) -> Result<Config, String> {
    let file = PathBuf::from("/etc/p/portreeve.toml");
    Source::new(&file, text, None).config().map_err(|fault| fault.to_string())
}

#[test]
fn the_least_configuration_has_defaults_for_the_rest() {
    let config = read(LEAST).expect("read");
    assert_eq!(config.proxy.id, "gate-1");
    assert_eq!(config.proxy.frame_bytes_max, 64 << 20);
    assert_eq!(config.limits.register_stale_after, Duration::from_secs(5));
    assert_eq!(config.portal.public_url, "https://access.example.com");
    assert_eq!(config.cluster("main").expect("main").ca, PathBuf::from("/etc/p/ca.crt"));
    let unknown = config.cluster("other").expect_err("no such cluster").to_string();
    assert_eq!(unknown, "no cluster is called \"other\"; the configuration has: main");
}

#[test]
fn unknown_keys_name_the_nearest_right_one() {
    for (text, message) in [
        ("[proxy]\nlisen = 1", ":2: unknown key \"proxy.lisen\"; did you mean \"proxy.listen\"?"),
        ("[proxi]\nid = \"x\"", ":1: unknown key \"proxi\"; did you mean \"proxy\"?"),
        ("proxy.id = \"a\"\nproxy.stric = true", ":2: unknown key \"proxy.stric\"; did you mean \"proxy.strict\"?"),
        (
            "\n[clusters.main]\nhostt = \"db\"",
            ":3: unknown key \"clusters.main.hostt\"; did you mean \"clusters.main.host\"?",
        ),
        ("[proxy]\nrevoke_public = true", ":2: unknown key \"proxy.revoke_public\"; it belongs in section [fence]"),
        ("[register]\nzzzzzzzz = 1", ":2: unknown key \"register.zzzzzzzz\"; known here: ca, certificate, "),
        ("[proxy.tls]\nkey = 1", ":1: unknown key \"proxy.tls\"; known here: certificate, "),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.starts_with(&format!("/etc/p/portreeve.toml{message}")), "{text:?} gave {refused}");
    }
}

#[test]
fn wrong_values_name_line_key_and_what_was_expected() {
    for (text, message) in [
        ("[proxy]\nstrict = 1", ":2: \"proxy.strict\": invalid type: integer `1`, expected true or false"),
        (
            "[limits]\n\nconnections = \"8\"",
            ":3: \"limits.connections\": invalid type: string \"8\", expected a whole number",
        ),
        (
            "[clusters.main]\nport = 70000",
            ":2: \"clusters.main.port\": invalid value: integer `70000`, expected a whole number from 0 to 65535",
        ),
        ("[clusters.main]\nport = 0", ":2: \"clusters.main.port\": expected a port from 1"),
        ("[proxy]\nidle_after = \"15\"", ":2: \"proxy.idle_after\": \"15\" is not a duration: write"),
        (
            "[proxy]\nidle_after = 15",
            ":2: \"proxy.idle_after\": invalid type: integer `15`, expected a duration such as",
        ),
        ("[audit]\nsegment_bytes = \"64MB\"", ":2: \"audit.segment_bytes\": \"64MB\" is not a size"),
        ("[proxy]\nlisten = \"localhost\"", ":2: \"proxy.listen\": expected an address and a port"),
        ("[keyring]\nwriters = [\"a\", -1]", ":2: \"keyring.writers\": expected a user's name"),
        ("[fence]\naccept = \"x\"", ":2: \"fence.accept\": invalid type: string \"x\", expected a sequence"),
        (
            "[clusters.main]\nexternal_read = \"support\"",
            ":2: \"clusters.main.external_read\": is for fence = \"external\" only",
        ),
        (
            "[clusters.main]\nfence = \"external\"",
            ":2: \"clusters.main.fence\": expected external_read, external_write or",
        ),
        (
            "[clusters.main]\nfence = \"external\"\nexternal_read = \"support\"",
            ":3: \"clusters.main.external_read\": goes with external_read_password_file: say both, or neither",
        ),
        ("[clusters.main.replicas.\"A B\"]\nport = 1", ": \"clusters.main.replicas.A B\": expected a name of 1 to 40"),
        ("[clusters.main.replicas.a]\nport = 0", ":2: \"clusters.main.replicas.a.port\": expected a port from 1 to"),
        (
            "[clusters.main.replicas.a]\nreplay_within = \"2m\"",
            ":2: \"clusters.main.replicas.a.replay_within\": expected 100ms to 1m",
        ),
        (
            "[clusters.main]\nfence = \"external\"\nexternal_read = \"a\"\nexternal_read_password_file = \"b\"\n\
             [clusters.main.replicas.a]\nhost = \"c\"",
            ":6: \"clusters.main.replicas.a.host\": is for fence = \"own\" only",
        ),
        ("[fence]\nexamine_every = \"2m\"", ":2: \"fence.examine_every\": expected 1s to 1m"),
        ("[fence]\nexamine_every = \"100ms\"", ":2: \"fence.examine_every\": "),
        (
            "[staff]\nsign_in = \"both\"",
            ":2: \"staff.sign_in\": unknown variant `both`, expected `password` or `token`",
        ),
        ("[staff.oidc]\nisuer = \"x\"", ":2: unknown key \"staff.oidc.isuer\"; did you mean \"staff.oidc.issuer\"?"),
        ("proxy = 7", ":1: \"proxy\": invalid type: integer `7`"),
        ("[observe]\nformat = \"xml\"", ":2: \"observe.format\": unknown variant `xml`, expected `text` or `json`"),
        ("[proxy]\nid = \"../x\"", ":2: \"proxy.id\": expected a name of 1 to 40"),
        ("[clusters.\"A B\"]\nport = 1", ": \"clusters.A B\": expected a name of 1 to 40"),
        ("[limits]\nconnections_per_grant = 0", ":2: \"limits.connections_per_grant\": must be more than zero"),
        ("[audit]\nepoch_after = \"0s\"", ":2: \"audit.epoch_after\": must be more than zero"),
        ("[audit]\nvendor_values_after = \"0d\"", ":2: \"audit.vendor_values_after\": must be more than zero"),
        (
            "[audit]\nvendor_values_after = \"91d\"\nvendor_skeleton_after = \"90d\"",
            ":3: \"audit.vendor_skeleton_after\": must not be less than vendor_values_after",
        ),
        (
            "[portal]\npublic_url = \"http://x\"",
            ":2: \"portal.public_url\": expected an address that starts with https://",
        ),
        ("[retention]\nid = \"a b\"", ":2: \"retention.id\": expected a name of 1 to 40"),
        ("[retention]\nplan_fresh = \"0s\"", ":2: \"retention.plan_fresh\": must be more than zero"),
        (
            "[retention]\non_ceiling = \"x\"",
            ":2: \"retention.on_ceiling\": unknown variant `x`, expected `hold_last_good`",
        ),
        ("[promise]\nsnapshot_every = \"0h\"", ":2: \"promise.snapshot_every\": must be more than zero"),
        ("[snapshots.\"A B\"]\ntakes = \"1h\"", ": \"snapshots.A B\": expected a name of 1 to 40"),
        (
            "[snapshots.a]\nkind = \"zfs\"",
            ":2: \"snapshots.a.kind\": unknown variant `zfs`, expected `dump` or `base-backup`",
        ),
        ("[snapshots.a]\ncluster = \"b\"", ":2: \"snapshots.a.cluster\": no such section [clusters.NAME]; there are: "),
        ("[proxy]\nid = ", ":2: "),
        ("[proxy]\nid = \"a\"\nid = \"b\"", ":3: duplicate key"),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.contains(message), "{text:?} gave {refused}");
    }
}

#[test]
fn missing_keys_name_the_section_and_an_example() {
    assert!(read("").expect_err("nothing").contains("add a section such as [clusters.main]"));
    for key in ["host", "ca", "certificate", "key", "password_file", "public_url"] {
        let without: Vec<&str> = LEAST.lines().filter(|line| !line.starts_with(&format!("{key} "))).collect();
        let refused = read(&without.join("\n")).expect_err(key);
        let section = if key == "public_url" { "portal" } else { "clusters.main" };
        let begins =
            format!("/etc/p/portreeve.toml: section [{section}] needs the key \"{key}\", for example {key} = \"");
        assert!(refused.starts_with(&begins), "{refused}");
    }
}

#[test]
fn a_back_end_needs_its_place_and_a_purge_its_hours() {
    let with = |more: &str| read(&format!("{LEAST}\n{more}"));
    let whole = "[snapshots.a]\nkind = \"dump\"\ncluster = \"main\"\ndirectory = \"d\"\nrecipient = \"r\"\n\
                 password_file = \"p\"\n";
    let config = with(&format!("{whole}bytes_per_second_max = \"1MiB\"")).expect("read");
    let a = config.snapshots.get("a").expect("a");
    assert_eq!((a.kind, a.bytes_per_second_max), (SnapshotKind::Dump, Some(1 << 20)));
    assert_eq!(a.directory, PathBuf::from("/etc/p/d"));
    assert_eq!(config.rules().expect("possible").solution().backends.len(), 1);
    for key in ["kind", "cluster", "directory", "recipient", "password_file"] {
        let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with(key)).collect();
        let refused = with(&without.join("\n")).expect_err(key);
        assert!(refused.contains(&format!("section [snapshots.a] needs the key \"{key}\", for example")), "{refused}");
    }
    for (line, says) in [
        ("window = \"0 5 * *\"", "\"retention.window\": expected seconds as a cron expression of six fields"),
        ("time_zone = \"Mars\"", "\"retention.time_zone\": expected a time zone such as"),
    ] {
        let refused = with(&format!("[retention]\n{line}")).expect_err(line);
        assert!(refused.contains(says), "{refused}");
    }
    for no_day in ["soon", "2026-02-30", "2026-12-20T00:00:00Z"] {
        let refused = with(&format!("[limits]\nobserve_until = \"{no_day}\"")).expect_err(no_day);
        assert!(refused.contains("\"limits.observe_until\": expected a day such as \"2027-01-31\""), "{refused}");
    }
    let whole = with("[limits]\nobserve_until = \"2026-12-20\"").expect("a day");
    let until = whole.limits.observing.map(|observing| observing.until.to_string());
    assert_eq!(until.as_deref(), Some("2026-12-20T00:00:00.000000Z"));
}

#[test]
fn a_register_in_a_file_takes_nothing_that_only_a_server_has() {
    let with = |lines: &str| read(&format!("{LEAST}\n[register]\n{lines}"));
    for key in ["host", "database", "role", "password_file", "ca", "certificate", "key"] {
        let refused = with(&format!("engine = \"sqlite\"\n{key} = \"x\"")).expect_err(key);
        let says = format!("\"register.{key}\": is for engine = \"postgresql\" only");
        assert!(refused.contains(&says), "{refused}");
    }
    let refused = with("port = 5433").expect_err("a port, and no engine");
    assert!(refused.contains("\"register.port\": is for engine = \"postgresql\" only"), "{refused}");
    let usual = "path = \"r.sqlite\"\nhost = \"\"\nport = 5432\nrole = \"portreeve_register\"\nkey = \"\"";
    assert!(with(usual).expect("as it is shipped").register.server.is_none());
}

#[test]
fn an_identity_provider_is_whole_or_not_there() {
    let with = |more: &str| read(&format!("{LEAST}\n{more}"));
    let usual = with("").expect("read").staff;
    assert!(usual.oidc.is_none() && usual.sign_in == grant::SignIn::Password);
    assert_eq!((usual.token_lives.as_secs(), usual.credential_lives.as_secs()), (600, 12 * 3600));
    let whole = "[staff.oidc]\nissuer = \"https://login.example\"\nclient_id = \"p\"\n";
    let config = with(&format!("{whole}client_secret_file = \"oidc.secret\"")).expect("read");
    let oidc = config.staff.oidc.as_ref().expect("there");
    assert_eq!((oidc.claim.as_str(), oidc.signed_in_within), ("preferred_username", None));
    assert!(!oidc.password_too, "the provider alone says who is in");
    assert!(config.secrets(Role::Portal).contains(&Path::new("/etc/p/oidc.secret")));
    assert!(!config.secrets(Role::Proxy).contains(&Path::new("/etc/p/oidc.secret")));
    assert!(with(whole).expect("a public client").staff.oidc.is_some_and(|oidc| oidc.client_secret_file.is_none()));
    for (lines, says) in [
        ("[staff]\ntoken_lives = \"2h\"", "\"staff.token_lives\": expected 1s to 1h"),
        ("[staff]\ntoken_lives = \"0s\"", "\"staff.token_lives\": expected 1s to 1h"),
        ("[staff]\ncredential_lives = \"5m\"", "\"staff.credential_lives\": expected token_lives or more"),
        ("[staff.oidc]\nclient_id = \"p\"", "\"staff.oidc.client_id\": goes with issuer"),
        ("[staff.oidc]\nissuer = \"https://x\"", "\"staff.oidc.issuer\": goes with client_id"),
        ("[staff.oidc]\nissuer = \"http://x\"", "\"staff.oidc.issuer\": expected an address that starts with https://"),
        (&format!("{whole}scopes = \"profile\""), "\"staff.oidc.scopes\": expected words with spaces"),
        (&format!("{whole}claim = \"\""), "\"staff.oidc.claim\": expected the name of a claim"),
    ] {
        let refused = with(lines).expect_err(lines);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_credential_of_systemd_takes_the_place_of_a_secret_of_that_name() {
    let handed = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(handed.path().join("client.key"), "k").expect("written");
    let file = PathBuf::from("/etc/p/portreeve.toml");
    let config = Source::new(&file, LEAST, Some(handed.path())).config().expect("read");
    let main = config.cluster("main").expect("main");
    assert_eq!(main.key, handed.path().join("client.key"));
    assert_eq!(main.password_file, PathBuf::from("/etc/p/password"));
    assert_eq!(main.certificate, PathBuf::from("/etc/p/client.crt"));
}

#[test]
fn the_secrets_of_a_role_are_its_own_and_checked() {
    let config = read(LEAST).expect("read");
    let of = |role| config.secrets(role).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(of(Role::Proxy).len(), 4, "{:?}", of(Role::Proxy));
    assert!(of(Role::Portal).iter().all(|path| path.contains("portal")));
    for role in [Role::Proxy, Role::Portal, Role::Keyring] {
        assert!(of(role).iter().all(|path| role == Role::Keyring || !path.contains("keyring")), "{role:?}");
    }
    let refused = config.check_secrets(Role::Proxy).expect_err("there is no such file").to_string();
    assert!(refused.contains("secret file /etc/portreeve/secrets/proxy.key"), "{refused}");
}

#[test]
fn the_shipped_configuration_holds_every_key_with_its_default() {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/portreeve.toml"));
    load(&file).expect("the shipped configuration is right");
    let text = std::fs::read_to_string(&file).expect("read");
    let shipped: Value = toml::from_str(&text).expect("TOML");
    let mut compared = 0;
    compare("", &keys::known(), &shipped, &mut compared);
    assert!(compared > 40, "{compared} keys were compared");
}

/// Holds `shipped` against the defaults: the same keys, and the same values where there is a default.
fn compare(path: &str, known: &Value, shipped: &Value, compared: &mut usize) {
    match (known, shipped) {
        (Value::Object(known), Value::Object(shipped)) => {
            for (key, shipped) in shipped {
                let known = known.get(key).or(known.get(raw::ANY_NAME)).expect("load() knows every key");
                compare(&format!("{path}.{key}"), known, shipped, compared);
            }
            let absent: Vec<_> =
                known.keys().filter(|key| *key != raw::ANY_NAME && !shipped.contains_key(*key)).collect();
            assert!(absent.is_empty(), "the shipped file lacks {path}: {absent:?}");
        }
        (Value::Null, shipped) => assert!(shipped.is_string(), "{path} needs an example"),
        (known, shipped) => {
            *compared += 1;
            assert_eq!(known, shipped, "{path} does not show its default");
        }
    }
}
