//! Throw-away certificates: a CA for the database server, one for the proxy alone as its client, one for gate and
//! portal.
//! Not here: anything long-lived; the CAs' private keys are dropped as soon as they have signed, and all ends in 30
//! days.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Days, NaiveDate};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::clock::{Clock, SystemClock};

const DAYS_VALID: u64 = 30;

/// Why the certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The generator refused.
    #[error("cannot make a certificate for {subject}: {source}")]
    Generate {
        /// Whose certificate.
        subject: String,
        /// The generator's reason.
        source: rcgen::Error,
    },
}

/// One certificate and its private key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its PKCS #8 key, mode 0600.
    pub key: PathBuf,
}

/// The PEM files of one throw-away set-up, all in one directory.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The directory that holds them.
    pub directory: PathBuf,
    /// Whom the proxy trusts as a database server.
    pub cluster_ca: PathBuf,
    /// The database server's own (`localhost`, 127.0.0.1).
    pub cluster: Pair,
    /// Whom the database server trusts as a client: it signed one certificate, the proxy's.
    pub proxy_ca: PathBuf,
    /// What the proxy shows to the database server.
    pub proxy: Pair,
    /// Whom people's clients and browsers trust.
    pub gate_ca: PathBuf,
    /// The proxy's own towards clients (`localhost`, 127.0.0.1, ::1).
    pub gate: Pair,
    /// The portal's own (`localhost`, 127.0.0.1, ::1).
    pub portal: Pair,
}

impl Certificates {
    /// Makes all of them in `directory`, which is created; existing files of these names are replaced.
    pub fn create(directory: &Path) -> Result<Certificates, Error> {
        fs::create_dir_all(directory).map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        let authority = |name: &str| Authority::create(directory, name);
        let local = || vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let (cluster_ca, proxy_ca, gate_ca) = (authority("cluster-ca")?, authority("proxy-ca")?, authority("gate-ca")?);
        Ok(Certificates {
            directory: directory.to_owned(),
            cluster: cluster_ca.issue(directory, "cluster", local(), ExtendedKeyUsagePurpose::ServerAuth)?,
            proxy: proxy_ca.issue(directory, "proxy", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?,
            gate: gate_ca.issue(directory, "gate", local(), ExtendedKeyUsagePurpose::ServerAuth)?,
            portal: gate_ca.issue(directory, "portal", local(), ExtendedKeyUsagePurpose::ServerAuth)?,
            cluster_ca: cluster_ca.certificate,
            proxy_ca: proxy_ca.certificate,
            gate_ca: gate_ca.certificate,
        })
    }
}

/// A certification authority that exists only while it signs.
pub struct Authority {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one and writes `<name>.pem` into `directory`.
    pub fn create(directory: &Path, name: &str) -> Result<Authority, Error> {
        let generate = |source| Error::Generate { subject: name.to_owned(), source };
        let mut params = params(name, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(generate)?;
        let signed = params.self_signed(&key).map_err(generate)?;
        let certificate = directory.join(format!("{name}.pem"));
        write(&certificate, &signed.pem(), 0o644)?;
        Ok(Authority { certificate, issuer: Issuer::new(params, key) })
    }

    /// Signs a certificate for `names` (DNS names or addresses) and writes `<name>.pem` and `<name>.key`.
    pub fn issue(
        &self,
        directory: &Path,
        name: &str,
        names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Pair, Error> {
        let generate = |source| Error::Generate { subject: name.to_owned(), source };
        let mut params = params(name, names)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(generate)?;
        let signed = params.signed_by(&key, &self.issuer).map_err(generate)?;
        let pair =
            Pair { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
        write(&pair.certificate, &signed.pem(), 0o644)?;
        write(&pair.key, &key.serialize_pem(), 0o600)?;
        Ok(pair)
    }
}

fn params(name: &str, names: Vec<String>) -> Result<CertificateParams, Error> {
    let mut params =
        CertificateParams::new(names).map_err(|source| Error::Generate { subject: name.to_owned(), source })?;
    params.distinguished_name.push(DnType::CommonName, format!("portreeve demo {name}"));
    let now = DateTime::from_timestamp_micros(SystemClock.now().0).unwrap_or_default();
    let today = now.date_naive();
    let day = |date: NaiveDate| {
        let part = |number: u32| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(date.year(), part(date.month()), part(date.day()))
    };
    params.not_before = day(today.checked_sub_days(Days::new(1)).unwrap_or(today));
    params.not_after = day(today.checked_add_days(Days::new(DAYS_VALID)).unwrap_or(today));
    Ok(params)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
