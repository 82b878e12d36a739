//! `[staff]` and `[staff.oidc]`: what is asked of the vendor's own people, and who says who they are.

use toml::de::DeTable;

use super::Source;
use crate::config::error::Error;
use crate::config::raw;
use crate::config::sections::{Oidc, Staff};
use crate::grant::{SignIn, TOKEN_MAX};

impl Source<'_> {
    /// Version 0 and the empty path are none.
    pub(super) fn staff(&self, table: &DeTable<'_>, raw: raw::Staff) -> Result<Staff, Error> {
        let wrong = |key: &str, expected: &str| Err(self.wrong(table, &["staff", key], expected));
        let version = |number: u32| Some(number).filter(|number| *number > 0);
        let (token_lives, credential_lives) = (raw.token_lives.0, raw.credential_lives.0);
        if token_lives.is_zero() || token_lives > TOKEN_MAX {
            return wrong("token_lives", "expected 1s to 1h");
        }
        if credential_lives < token_lives {
            return wrong("credential_lives", "expected token_lives or more");
        }
        Ok(Staff {
            confidentiality_version: version(raw.confidentiality_version),
            training_version: version(raw.training_version),
            list: Some(raw.list).filter(|path| !path.as_os_str().is_empty()).map(|path| self.path(path)),
            suspend_missing: raw.suspend_missing,
            sign_in: match raw.sign_in {
                raw::SignIn::Password => SignIn::Password,
                raw::SignIn::Token => SignIn::Token,
            },
            token_lives,
            credential_lives,
            oidc: self.oidc(table, raw.oidc)?,
        })
    }

    /// None if it is given no issuer.
    fn oidc(&self, table: &DeTable<'_>, raw: raw::Oidc) -> Result<Option<Oidc>, Error> {
        let wrong = |key: &str, expected: &str| Err(self.wrong(table, &["staff", "oidc", key], expected));
        let secret = raw.client_secret_file;
        if raw.issuer.is_empty() {
            return if raw.client_id.is_empty() {
                Ok(None)
            } else {
                wrong("client_id", "goes with issuer: say both, or neither")
            };
        }
        if raw.issuer.strip_prefix("https://").is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#'])) {
            return wrong("issuer", "expected an address that starts with https://, as the provider's tokens name it");
        }
        if raw.client_id.is_empty() {
            return wrong("issuer", "goes with client_id: say both, or neither");
        }
        if !raw.scopes.split(' ').any(|scope| scope == "openid") {
            return wrong("scopes", "expected words with spaces between them, and openid among them");
        }
        if raw.claim.is_empty() {
            return wrong("claim", "expected the name of a claim, such as \"preferred_username\"");
        }
        Ok(Some(Oidc {
            issuer: raw.issuer,
            client_id: raw.client_id,
            client_secret_file: Some(secret).filter(|path| !path.as_os_str().is_empty()).map(|path| self.secret(path)),
            ca: self.path(raw.ca),
            scopes: raw.scopes,
            claim: raw.claim,
            claim_suffix: raw.claim_suffix,
            amr: raw.amr,
            acr: raw.acr,
            signed_in_within: Some(raw.signed_in_within.0).filter(|span| !span.is_zero()),
            password_too: raw.password_too,
        }))
    }
}
