//! The configuration of a stage: every role on this machine, ports chosen, everything in one folder.
//! Not here: the stage itself (`stage.rs`).

use std::fmt::Write as _;

use super::cluster::{PROVISIONER, postgres_bin};
use super::stage::{SHARED_DATABASE, Stage};

impl Stage {
    /// The file's text.
    pub(super) fn toml(&self) -> String {
        let certificates = self.cluster.certificates();
        let (user, port) = (rustix::process::getuid().as_raw(), self.portal_port);
        let (gate, portal, proxy) = (&certificates.gate, &certificates.portal, &certificates.proxy);
        let sections: [(&str, String); 15] = [
            (
                "proxy",
                format!(
                    "id = \"gate-1\"\nlisten = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nsocket = \"proxy/control.sock\"\n\
                     state = \"proxy\"\nlog_key = \"proxy/log.key\"",
                    gate.certificate, gate.key
                ),
            ),
            (
                "clusters.main",
                format!(
                    "host = \"localhost\"\nport = {}\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n\
                     provisioner = \"{PROVISIONER}\"\npassword_file = \"provisioner.password\"\n\
                     maintenance_password_file = \"maintenance.password\"",
                    self.cluster.port(),
                    certificates.cluster_ca,
                    proxy.certificate,
                    proxy.key
                ),
            ),
            ("register", "path = \"register/register.sqlite\"".to_owned()),
            ("audit", "directory = \"audit\"\nsegment_bytes = \"4MiB\"\nreserve_bytes = \"16MiB\"".to_owned()),
            (
                "keyring",
                format!(
                    "socket = \"keyring/keyring.sock\"\nfile = \"keyring/keyring\"\ncredential = \"keyring/credential\"\n\
                     public_key = \"keyring.pub\"\nwriters = [{user}]\nopeners = [{user}]\n\
                     destroyers = [{user}]\nlog_key = \"keyring/log.key\""
                ),
            ),
            (
                "portal",
                format!(
                    "listen = \"127.0.0.1:{port}\"\ncertificate = {:?}\nkey = {:?}\n\
                     public_url = \"https://localhost:{port}\"\n\
                     signing_key = \"portal/signing.key\"\nsigning_public_key = \"portal-signing.pub\"\nstate = \"portal\"\n\
                     archives = \"archives\"\nlog_key = \"portal/log.key\"",
                    portal.certificate, portal.key
                ),
            ),
            (
                "fence",
                "accept = [\"notify a notification carries no rows\", \
                 \"alter-self the role is dropped with its grant\"]\nrevoke_public = true"
                    .to_owned(),
            ),
            ("limits", String::new()),
            ("staff", String::new()),
            ("staff.oidc", String::new()),
            ("road", String::new()),
            (
                "retention",
                format!(
                    "state = \"retention\"\nlog_key = \"retention/log.key\"\ninstance_key = \"retention/instance.key\"\n\
                     runtime = \"run\"\nprograms = {:?}\nwindow = \"* * * * * *\"\n\
                     datamap = {{ \"main/{SHARED_DATABASE}\" = \"datamap-shared.toml\" }}",
                    postgres_bin().unwrap_or_default()
                ),
            ),
            (
                "snapshots.nightly",
                "kind = \"dump\"\ncluster = \"main\"\ndirectory = \"store\"\nrecipient = \"snapshots.pub\"\n\
                 password_file = \"snapshots.password\""
                    .to_owned(),
            ),
            ("cli", "log_key = \"cli/log.key\"\nstate = \"cli\"".to_owned()),
            ("observe", String::new()),
        ];
        let mut toml = String::new();
        for (section, lines) in sections {
            // Writing to a String does not fail.
            write!(toml, "[{section}]\n{lines}\n").unwrap_or_default();
            for (_, line) in self.settings.lines.iter().filter(|(of, _)| of == section) {
                writeln!(toml, "{line}").unwrap_or_default();
            }
        }
        toml
    }
}
