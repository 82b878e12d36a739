//! The register's section: a file, or all that a server needs.
//! Not here: its defaults (`config/raw/register.rs`), and whether the server is there.

use toml::de::DeTable;

use super::Source;
use crate::config::error::Error;
use crate::config::raw::{self, EngineOf};
use crate::config::sections::{Register, RegisterServer};

const SECTION: &str = "register";

impl Source<'_> {
    pub(super) fn register(&self, table: &DeTable<'_>, raw: raw::Register) -> Result<Register, Error> {
        let path = self.path(raw.path.clone());
        if raw.engine == EngineOf::Sqlite {
            return match for_a_server(&raw) {
                Some(key) => Err(self.wrong(table, &[SECTION, key], "is for engine = \"postgresql\" only")),
                None => Ok(Register { path, server: None }),
            };
        }
        if raw.port == 0 {
            return Err(self.wrong(table, &[SECTION, "port"], "expected a port from 1 to 65535"));
        }
        let certificate = self.pair(SECTION, ("certificate", "key"), raw.certificate, raw.key)?;
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let file = |path: std::path::PathBuf| Some(path).filter(|path| !path.as_os_str().is_empty());
        let password_file =
            self.required(SECTION, "password_file", "secrets/register.password", file(raw.password_file))?;
        let server = RegisterServer {
            host: self.required(SECTION, "host", "register-db.internal", text(raw.host))?,
            port: raw.port,
            database: self.required(SECTION, "database", "portreeve", text(raw.database))?,
            role: self.required(SECTION, "role", "portreeve_register", text(raw.role))?,
            password_file: self.secret(password_file),
            ca: self.path(self.required(SECTION, "ca", "register-ca.crt", file(raw.ca))?),
            certificate,
        };
        Ok(Register { path, server: Some(server) })
    }
}

/// The first key that says something which only a server has.
fn for_a_server(raw: &raw::Register) -> Option<&'static str> {
    let usual = raw::Register::default();
    let given = [
        ("host", raw.host != usual.host),
        ("port", raw.port != usual.port),
        ("database", raw.database != usual.database),
        ("role", raw.role != usual.role),
        ("password_file", raw.password_file != usual.password_file),
        ("ca", raw.ca != usual.ca),
        ("certificate", raw.certificate != usual.certificate),
        ("key", raw.key != usual.key),
    ];
    given.into_iter().find(|(_, is_given)| *is_given).map(|(key, _)| key)
}
