//! The identity provider as the portal asks it: where it sends browsers, and the ID token it gives for a code.
//! Not here: whether that token holds (`id_token`). OpenID Connect Discovery 1.0, Core 1.0 section 3.1; RFC 6749, RFC 9207.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::flow::Flow;
use super::id_token::{self, Expected, Identity, Rejected};
use crate::clock::Timestamp;
use crate::config::Oidc;
use crate::net::outgoing::{Authorities, Site};
use crate::secret::Secret;

/// How long what the provider says of itself is gone by without asking again.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Why the provider does not say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It is not reached, or answers as no provider does.
    #[error("{0}")]
    Away(String),
    /// It refuses: with its own word, such as `invalid_grant`.
    #[error("the identity provider refuses: {0}")]
    Refuses(String),
    /// Its token does not hold.
    #[error("the identity provider's answer does not hold: {0}")]
    Rejected(#[from] Rejected),
}

/// The identity provider.
pub struct Provider {
    settings: Oidc,
    secret: Option<Secret<String>>,
    trusted: Authorities,
    redirect_uri: String,
    known: Mutex<Option<(Timestamp, Arc<Known>)>>,
}

/// What it says of itself.
struct Known {
    authorization: String,
    token: Site,
    keys: Site,
    /// Whether the secret goes into the body instead of a header.
    is_posted: bool,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What it gives for a code. What else is in it is passed over where it stands.
#[derive(Default, Deserialize)]
struct Tokens {
    id_token: Option<String>,
    error: Option<String>,
}

/// A form with secrets, which is wiped once it is sent.
struct Form(Secret<String>);

impl AsRef<[u8]> for Form {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

impl Provider {
    /// The provider of the configuration, and the secret by which it knows us. It sends browsers back to `redirect_uri`.
    ///
    /// # Errors
    /// What is wrong with the authorities that sign its certificate.
    pub fn new(settings: Oidc, secret: Option<Secret<String>>, redirect_uri: String) -> Result<Provider, String> {
        let trusted = Authorities::load(&settings.ca)?;
        Ok(Provider { settings, secret, trusted, redirect_uri, known: Mutex::default() })
    }

    /// Where a browser is sent to sign in.
    ///
    /// # Errors
    /// If the provider does not say where that is.
    pub async fn address(&self, flow: &Flow, now: Timestamp) -> Result<String, Trouble> {
        let known = self.known(now).await?;
        let Oidc { client_id, scopes, acr, signed_in_within, .. } = &self.settings;
        let challenge = flow.challenge();
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", client_id.as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", scopes.as_str()),
            ("state", flow.state.as_str()),
            ("nonce", flow.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let contexts = acr.join(" ");
        if !contexts.is_empty() {
            parameters.push(("acr_values", &contexts));
        }
        let age = signed_in_within.map(|within| within.as_secs().to_string());
        if let Some(age) = &age {
            parameters.push(("max_age", age));
        }
        let between = if known.authorization.contains('?') { '&' } else { '?' };
        Ok(format!("{}{between}{}", known.authorization, encoded(&parameters)))
    }

    /// Who came back with that code. `issuer` is what the browser says about where it comes from, if it says it.
    ///
    /// # Errors
    /// Any `Trouble`.
    pub async fn identity(
        &self,
        flow: &Flow,
        (code, issuer): (&str, Option<&str>),
        now: Timestamp,
    ) -> Result<Identity, Trouble> {
        if let Some(other) = issuer.filter(|issuer| *issuer != self.settings.issuer) {
            return Err(Rejected::Issuer(other.to_owned()).into());
        }
        let known = self.known(now).await?;
        let token = self.token(&known, flow, code).await?;
        // Fetched anew each time: keys change, and somebody has signed in.
        let set = self.fetch(&known.keys, "its keys").await?;
        let Oidc { issuer, client_id, claim, claim_suffix, amr, acr, signed_in_within, .. } = &self.settings;
        let (nonce, signed_in_within) = (flow.nonce.as_str(), *signed_in_within);
        let expected = Expected { issuer, client_id, nonce, amr, acr, signed_in_within, claim, claim_suffix };
        Ok(id_token::verify(token.expose(), &id_token::keys(&set), &expected, now)?)
    }

    async fn token(&self, known: &Known, flow: &Flow, code: &str) -> Result<Secret<String>, Trouble> {
        let client_id = self.settings.client_id.as_str();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", flow.verifier.expose()),
        ];
        let mut headers =
            vec![(header::CONTENT_TYPE, "application/x-www-form-urlencoded"), (header::ACCEPT, "application/json")];
        let basic = match &self.secret {
            Some(secret) if !known.is_posted => Some(basic(client_id, secret)),
            Some(secret) => {
                fields.extend([("client_id", client_id), ("client_secret", secret.expose().as_str())]);
                None
            }
            None => {
                fields.push(("client_id", client_id));
                None
            }
        };
        if let Some(basic) = &basic {
            headers.push((header::AUTHORIZATION, basic.expose()));
        }
        let away = |why: String| Trouble::Away(format!("{:?}: {why}", known.token));
        let mut connection = known.token.connect().await.map_err(away)?;
        let form = Bytes::from_owner(Form(Secret::new(encoded(&fields))));
        let (status, body) = connection.send(Method::POST, "", &headers, form).await.map_err(away)?;
        let body = Secret::new(body);
        let answer: Tokens = serde_json::from_str(body.expose()).unwrap_or_default();
        if status != StatusCode::OK {
            let word = answer.error.map(|word| plain(&word));
            return Err(word.map_or_else(|| away(format!("it answers {status}")), Trouble::Refuses));
        }
        answer.id_token.map(Secret::new).ok_or_else(|| away("its answer holds no ID token".to_owned()))
    }

    /// What the provider says of itself: lately, or now.
    async fn known(&self, now: Timestamp) -> Result<Arc<Known>, Trouble> {
        if let Some(known) = self.known_lately(now) {
            return Ok(known);
        }
        let known = Arc::new(self.discover().await?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&known)));
        Ok(known)
    }

    fn known_lately(&self, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |(at, _): &&(Timestamp, Arc<Known>)| *at <= now && now < at.plus(KNOWN_FOR);
        known.as_ref().filter(lately).map(|(_, known)| Arc::clone(known))
    }

    async fn discover(&self) -> Result<Known, Trouble> {
        let issuer = &self.settings.issuer;
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let site = |url: &str| Site::new(url, self.trusted.clone()).map_err(Trouble::Away);
        let said = self.fetch(&site(&document)?, "what it says of itself").await?;
        let said: Discovered =
            serde_json::from_value(said).map_err(|fault| Trouble::Away(format!("{document}: {fault}")))?;
        if said.issuer != *issuer {
            return Err(Trouble::Away(format!("{document} is about \"{}\"; set issuer to what it is", said.issuer)));
        }
        // That it is an address of a site is looked at as for the others.
        site(said.authorization_endpoint.split('?').next().unwrap_or_default())?;
        let methods = said.token_endpoint_auth_methods_supported;
        Ok(Known {
            token: site(&said.token_endpoint)?,
            keys: site(&said.jwks_uri)?,
            is_posted: methods.is_some_and(|methods| !methods.iter().any(|method| method == "client_secret_basic")),
            authorization: said.authorization_endpoint,
        })
    }

    async fn fetch(&self, site: &Site, what: &str) -> Result<Value, Trouble> {
        let away = |why: String| Trouble::Away(format!("{site:?}: {why}"));
        let mut connection = site.connect().await.map_err(away)?;
        let headers = [(header::ACCEPT, "application/json")];
        let (status, body) = connection.send(Method::GET, "", &headers, String::new()).await.map_err(away)?;
        if status != StatusCode::OK {
            return Err(away(format!("it answers {status} instead of {what}")));
        }
        serde_json::from_str(&body).map_err(|fault| away(format!("{what}: {fault}")))
    }
}

/// A provider's own word, as far as it is one.
pub fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(60).collect()
}

/// RFC 6749, section 2.3.1.
fn basic(client_id: &str, secret: &Secret<String>) -> Secret<String> {
    let pair = Secret::new([escaped(client_id).expose().as_str(), escaped(secret.expose()).expose()].join(":"));
    let encoded = Secret::new(STANDARD.encode(pair.expose()));
    Secret::new(["Basic", encoded.expose()].join(" "))
}

/// `name=value&…`, as in a query or a form. Nothing of a secret among the values is left elsewhere.
fn encoded(parameters: &[(&str, &str)]) -> String {
    let values: Vec<_> = parameters.iter().map(|(_, value)| escaped(value)).collect();
    let pairs = parameters.iter().zip(&values);
    let parts: Vec<&str> = pairs.flat_map(|((name, _), value)| ["&", name, "=", value.expose()]).skip(1).collect();
    parts.concat()
}

/// RFC 3986: everything but the unreserved characters as `%XX`. It does not grow, so that no part of it is left behind.
fn escaped(text: &str) -> Secret<String> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase());
    let mut escaped = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            other => escaped.extend(std::iter::once('%').chain(digit(other >> 4)).chain(digit(other & 15))),
        }
    }
    Secret::new(escaped)
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
