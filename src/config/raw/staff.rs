//! `[staff]` and `[staff.oidc]` as they stand in the file.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::units::Span;

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Staff {
    pub(in crate::config) confidentiality_version: u32,
    pub(in crate::config) training_version: u32,
    pub(in crate::config) list: PathBuf,
    pub(in crate::config) suspend_missing: bool,
    pub(in crate::config) sign_in: SignIn,
    pub(in crate::config) token_lives: Span,
    pub(in crate::config) credential_lives: Span,
    pub(in crate::config) oidc: Oidc,
}

/// What staff sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SignIn {
    /// Their stored password.
    Password,
    /// A short-lived password from the portal.
    Token,
}

impl Default for Staff {
    fn default() -> Self {
        Staff {
            confidentiality_version: 0,
            training_version: 0,
            list: PathBuf::new(),
            suspend_missing: false,
            sign_in: SignIn::Password,
            token_lives: Span(Duration::from_secs(600)),
            credential_lives: Span(Duration::from_secs(12 * 3600)),
            oidc: Oidc::default(),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(in crate::config) struct Oidc {
    pub(in crate::config) issuer: String,
    pub(in crate::config) client_id: String,
    pub(in crate::config) client_secret_file: PathBuf,
    pub(in crate::config) ca: PathBuf,
    pub(in crate::config) scopes: String,
    pub(in crate::config) claim: String,
    pub(in crate::config) claim_suffix: String,
    pub(in crate::config) amr: Vec<String>,
    pub(in crate::config) acr: Vec<String>,
    pub(in crate::config) signed_in_within: Span,
    pub(in crate::config) password_too: bool,
}

impl Default for Oidc {
    fn default() -> Self {
        Oidc {
            issuer: String::new(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            ca: "/etc/ssl/certs/ca-certificates.crt".into(),
            scopes: "openid profile".to_owned(),
            claim: "preferred_username".to_owned(),
            claim_suffix: String::new(),
            amr: Vec::new(),
            acr: Vec::new(),
            signed_in_within: Span(Duration::ZERO),
            password_too: false,
        }
    }
}
