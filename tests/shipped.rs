//! What we ship beside the binary agrees with it: units, users, folders and the configuration name the same things.
//! Not here: the configuration's own keys and defaults (`src/config/mod_tests.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use portreeve::cli::{Arguments, Command, Service, Verb, witness};
use portreeve::config::{Config, DEFAULT_PATH, Role, User, load};

const ROLES: [(&str, Role); 4] =
    [("proxy", Role::Proxy), ("portal", Role::Portal), ("keyring", Role::Keyring), ("retention", Role::Retention)];

/// Lines that every unit has.
const HARDENED: [&str; 29] = [
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "LimitCORE=0",
    "MemorySwapMax=0",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
    "StateDirectoryMode=0700",
    "UMask=0007",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn config() -> Config {
    load(&root().join("config/portreeve.toml")).expect("the shipped configuration is right")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The values of `key` in the unit of `role`, in order.
fn values(role: &str, key: &str) -> Vec<String> {
    let unit = text(&format!("systemd/portreeve-{role}.service"));
    let values = unit.lines().filter_map(|line| line.split_once('=').filter(|(name, _)| *name == key));
    values.map(|(_, value)| value.to_owned()).collect()
}

fn one(role: &str, key: &str) -> String {
    let values = values(role, key);
    assert_eq!(values.len(), 1, "{key} of {role}");
    values.concat()
}

#[test]
fn every_unit_starts_a_role_that_there_is() {
    for (name, role) in ROLES {
        let line = one(name, "ExecStart");
        let arguments = Arguments::try_parse_from(line.split_whitespace()).expect(&line);
        assert!(line.starts_with("/usr/bin/portreeve "), "{line}");
        assert_eq!(arguments.config, PathBuf::from(DEFAULT_PATH), "{line}");
        let service: Option<Service> = arguments.command.service();
        assert_eq!(service.map(Service::role), Some(role), "{line}");
    }
}

#[test]
fn every_role_is_handed_its_secrets_and_no_others() {
    let config = config();
    for (name, role) in ROLES {
        let named = |path: &Path| {
            let file = path.file_name().expect("a file").to_string_lossy();
            format!("{file}:{}", path.display())
        };
        let needed: BTreeSet<String> = config.secrets(role).into_iter().map(named).collect();
        let handed: BTreeSet<String> = values(name, "LoadCredential").into_iter().collect();
        assert_eq!(handed, needed, "{name}");
    }
}

#[test]
fn every_path_of_a_role_is_one_that_its_unit_lets_it_write() {
    let config = config();
    let (register, audit) = (config.register.path.parent().expect("a folder"), config.audit.directory.as_path());
    for (name, writable, folders) in [
        ("proxy", vec![register, audit], vec![(&config.proxy.socket, &config.proxy.state)]),
        ("portal", vec![register, audit], vec![]),
        ("keyring", vec![audit], vec![(&config.keyring.socket, &config.keyring.file)]),
        ("retention", vec![register, audit, config.portal.archives.as_path()], vec![]),
    ] {
        let listed = one(name, "ReadWritePaths");
        assert_eq!(listed.split(' ').map(Path::new).collect::<Vec<_>>(), writable, "{name}");
        let run = Path::new("/run").join(one(name, "RuntimeDirectory"));
        let state = Path::new("/var/lib").join(one(name, "StateDirectory"));
        for (socket, kept) in folders {
            assert!(socket.starts_with(&run), "{} is not below {}", socket.display(), run.display());
            assert!(kept.starts_with(&state), "{} is not below {}", kept.display(), state.display());
        }
    }
    assert_eq!(config.portal.state, Path::new("/var/lib").join(one("portal", "StateDirectory")));
    assert_eq!(config.retention.state, Path::new("/var/lib").join(one("retention", "StateDirectory")));
    assert_eq!(config.retention.runtime, Path::new("/run").join(one("retention", "RuntimeDirectory")));
}

#[test]
fn every_user_exists_and_the_proxy_cannot_open_what_it_wrote() {
    let (config, sysusers) = (config(), text("systemd/portreeve.sysusers"));
    let lines: Vec<Vec<&str>> = sysusers.lines().map(|line| line.split_whitespace().collect()).collect();
    let is_user = |name: &str| lines.iter().any(|line| line.starts_with(&["u", name]));
    let mut seen = BTreeSet::new();
    for (name, _) in ROLES {
        let user = one(name, "User");
        assert!(is_user(&user), "{user} is not made");
        assert!(lines.iter().any(|line| line[..] == ["m", user.as_str(), "portreeve"]), "{user} is in no group");
        assert_eq!(one(name, "Group"), "portreeve");
        assert!(seen.insert(user), "{name} shares a user");
    }
    let keyring = &config.keyring;
    for user in keyring.writers.iter().chain(&keyring.openers).chain(&keyring.destroyers) {
        let name = user.to_string();
        assert!(name == "root" || is_user(&name), "{name} is not made");
    }
    assert!(!config.keyring.openers.contains(&User::Name(one("proxy", "User"))));
    assert_eq!(config.keyring.destroyers, [User::Name(one("retention", "User"))], "nobody else destroys keys");
}

#[test]
fn shared_folders_are_made_with_their_rights() {
    let (config, tmpfiles) = (config(), text("systemd/portreeve.tmpfiles"));
    let register = config.register.path.parent().expect("a folder");
    let secrets = config.proxy.key.parent().expect("a folder");
    for (folder, rights) in [
        (register, ["2770", "root", "portreeve"]),
        (&config.audit.directory, ["3770", "root", "portreeve"]),
        (&config.cli.state, ["0700", "root", "root"]),
        (&config.portal.archives, ["2750", "portreeve-retention", "portreeve"]),
        (secrets, ["0700", "root", "root"]),
    ] {
        let mut lines = tmpfiles.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line.get(1) == Some(&folder.to_str().expect("UTF-8"))).expect("made");
        assert_eq!(line.get(2..5), Some(&rights[..]), "{}", folder.display());
    }
}

#[test]
fn every_unit_is_hardened() {
    for name in ROLES.map(|(name, _)| name) {
        let unit = text(&format!("systemd/portreeve-{name}.service"));
        let lines: BTreeSet<&str> = unit.lines().collect();
        let absent: Vec<_> = HARDENED.iter().filter(|line| !lines.contains(*line)).collect();
        assert!(absent.is_empty(), "{name} lacks {absent:?}");
    }
    assert_eq!(one("keyring", "RestrictAddressFamilies"), "AF_UNIX");
    assert_eq!(one("keyring", "PrivateNetwork"), "yes");
}

/// It runs on another machine: as a user of its own, in no group of the roles, with nothing of theirs.
#[test]
fn the_witness_runs_by_itself_and_is_hardened() {
    let unit = text("systemd/portreeve-witness.service");
    let lines: BTreeSet<&str> = unit.lines().collect();
    let absent: Vec<_> = HARDENED.iter().filter(|line| !lines.contains(*line)).collect();
    assert!(absent.is_empty(), "it lacks {absent:?}");
    let line = one("witness", "ExecStart");
    assert!(line.starts_with("/usr/bin/portreeve "), "{line}");
    let arguments = Arguments::try_parse_from(line.split_whitespace()).expect(&line);
    let Command::Verb(Verb::Witness(witness::Command::Run(running))) = arguments.command else { panic!("{line}") };
    assert_eq!(running.state, Path::new("/var/lib").join(one("witness", "StateDirectory")));
    let handed = values("witness", "LoadCredential");
    for (path, credential) in [&running.certificate, &running.key].into_iter().zip(&handed) {
        let name = path.strip_prefix("%d").expect("handed by systemd").display().to_string();
        assert!(credential.starts_with(&format!("{name}:/etc/portreeve/secrets/")), "{credential}");
    }
    assert_eq!(handed.len(), 2, "no secret but the certificate's key; its own key is made where it runs");
    let (user, group) = (one("witness", "User"), one("witness", "Group"));
    assert_eq!((user.as_str(), group.as_str()), ("portreeve-witness", "portreeve-witness"));
    assert!(ROLES.iter().all(|(role, _)| one(role, "User") != user));
    let (sysusers, tmpfiles) = (text("systemd/portreeve-witness.sysusers"), text("systemd/portreeve-witness.tmpfiles"));
    assert!(sysusers.lines().any(|line| line.starts_with("u portreeve-witness ")) && !sysusers.contains("\nm "));
    let folder = format!("d {}  0700 portreeve-witness portreeve-witness -", running.state.display());
    assert!(tmpfiles.lines().any(|line| line == folder), "{tmpfiles}");
}

#[test]
fn the_readme_walks_through_every_section() {
    let (readme, shipped) = (text("README.md"), text("config/portreeve.toml"));
    let sections: Vec<&str> = shipped.lines().filter(|line| line.starts_with('[')).collect();
    assert!(sections.len() >= 12, "{sections:?}");
    for section in sections {
        let section = section.replace(".main", ".NAME");
        assert!(readme.contains(&format!("`{section}`")), "the README says nothing about {section}");
    }
}
