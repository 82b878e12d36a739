//! A provider made up by hand, for answers that no conforming one gives: the portal sees through each.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::routing::{get, post};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use portreeve::clock::{Clock as _, SystemClock};
use portreeve::grant::{code_of, step_at};
use portreeve::net::https::{ALPN, Listener};
use portreeve::net::tls::Certificate;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ground::{Ground, Place};
use crate::second_factor;

/// What the token endpoint answers next.
type Next = Arc<Mutex<String>>;

fn key() -> (EncodingKey, Jwk) {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let private = EncodingKey::from_ec_der(der.as_ref());
    let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).expect("its public half");
    public.common.key_id = Some("made-up".to_owned());
    (private, public)
}

fn signed(key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: Some("made-up".to_owned()), ..Header::new(Algorithm::ES256) };
    encode(&header, claims, key).expect("signed")
}

/// A provider on a port of its own: its issuer, its key, and what it says next.
async fn play(place: &Place) -> (String, EncodingKey, Next) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let issuer = format!("https://localhost:{}", socket.local_addr().expect("an address").port());
    let certificate = Certificate::load(&place.pair.certificate, &place.pair.key).expect("a certificate");
    let tls = certificate.server_config(ALPN).expect("TLS");
    let (private, public) = key();
    let next = Next::default();
    let about = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    });
    let (keys, answer) = (json!({"keys": [public]}), Arc::clone(&next));
    let token = move |body: String| async move {
        let whole = [
            "grant_type=authorization_code",
            "code=made%20up",
            "code_verifier=",
            "client_secret=a%20secret%20%26%20more%3D100%25",
        ];
        assert!(whole.iter().all(|part| body.contains(part)), "{body}");
        answer.lock().expect("not poisoned").clone()
    };
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(move || async move { about.to_string() }))
        .route("/keys", get(move || async move { keys.to_string() }))
        .route("/token", post(token));
    let listener = Listener::start(socket, tls, 64).expect("a listener");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (issuer, private, next)
}

/// A parameter of an address.
fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').expect("a query").1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).expect(url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_provider_should_say_is_refused_and_recorded() {
    let place = Place::new();
    let (issuer, own, next) = play(&place).await;
    let (other, _) = key();
    let lines =
        place.lines(&issuer, &[("staff.oidc", "amr = [\"mfa\"]\nsigned_in_within = \"1h\"\npassword_too = true")]);
    let ground = Ground::with(place, lines).await;
    let browser = ground.browser("made-up");
    let now = SystemClock.now().0 / 1_000_000;
    // Begins a sign-in, has the provider answer with such a token, and comes back.
    let answer = |key: &EncodingKey, changes: Value, back: &str| {
        let there = browser.one(&ground.portal("/staff/oidc"), None, &[]).next;
        assert!(
            there.starts_with(&format!("{issuer}/authorize?tenant=1&response_type=code&client_id=portreeve&")),
            "{there}"
        );
        assert_eq!(parameter(&there, "code_challenge_method"), "S256");
        assert_eq!(parameter(&there, "max_age"), "3600");
        let mut claims = json!({
            "iss": issuer, "aud": "portreeve", "sub": "4711", "nonce": parameter(&there, "nonce"), "iat": now,
            "exp": now + 3600, "auth_time": now, "amr": ["mfa"], "preferred_username": "jane",
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        *next.lock().expect("not poisoned") = json!({"id_token": signed(key, &claims)}).to_string();
        let state = parameter(&there, "state");
        browser.one(&ground.portal(&format!("/staff/oidc/callback?code=made%20up&state={state}{back}")), None, &[])
    };
    answer(&own, json!({}), "").password();
    for (changes, says) in [
        (json!({"nonce": "another"}), "it belongs to another sign-in"),
        (json!({"aud": "somebody else"}), "it was not issued for this portal"),
        (json!({"iss": "https://evil.example"}), "it was issued by &quot;https://evil.example&quot;"),
        (json!({"exp": now - 120}), "it is over since"),
        (json!({"iat": now + 7200}), "by the provider's clock"),
        (json!({"amr": ["pwd"]}), "a second factor is needed"),
        (json!({"amr": null}), "the provider names none"),
        (json!({"auth_time": now - 7200}), "is too long ago"),
        (json!({"preferred_username": null}), "it has no claim"),
    ] {
        answer(&own, changes.clone(), "").refuses(403, says);
        let recorded = says.replace("&quot;", "\\\"");
        ground.is_recorded("id-token", &recorded);
    }
    answer(&other, json!({}), "").refuses(403, "its signature is not the provider's");
    answer(&own, json!({}), "&iss=https://evil.example").refuses(403, "it was issued by");
    // Answers that are none.
    let broken = |text: &str| {
        let there = browser.one(&ground.portal("/staff/oidc"), None, &[]).next;
        *next.lock().expect("not poisoned") = text.to_owned();
        let state = parameter(&there, "state");
        browser.one(&ground.portal(&format!("/staff/oidc/callback?code=made%20up&state={state}")), None, &[])
    };
    for (text, status) in [("", 503), ("{}", 503), ("{\"id_token\": 7}", 503), ("{\"id_token\": \"a.b.c\"}", 403)] {
        let shown = broken(text);
        assert_eq!(shown.status, status, "{text}: {shown:?}");
        assert!(!shown.body.contains("id=\"token\""), "{shown:?}");
    }
    answer(&own, json!({}), "").password();

    // A page elsewhere can have a browser go there, but nothing begins.
    for site in ["cross-site", "same-site"] {
        let led = ground.browser("led").one(&ground.portal("/staff/oidc"), None, &[&format!("Sec-Fetch-Site: {site}")]);
        led.refuses(403, "another site's page has led here");
        assert!(!led.headers.iter().any(|line| line.to_ascii_lowercase().starts_with("set-cookie")), "{led:?}");
    }
    for site in ["same-origin", "none"] {
        let own = browser.one(&ground.portal("/staff/oidc"), None, &[&format!("Sec-Fetch-Site: {site}")]);
        assert!(own.status == 303 && own.next.starts_with(&issuer), "{own:?}");
    }

    // Where the provider sends browsers to, a page elsewhere can have them load something: that counts as no attempt (of one
    // address, 100 are let through), and takes no cookie.
    for (mode, dest) in [("no-cors", "image"), ("navigate", "iframe"), ("cors", "document")] {
        let heads = [format!("Sec-Fetch-Mode: {mode}"), format!("Sec-Fetch-Dest: {dest}")];
        let forged = ground.portal("/staff/oidc/callback?code=x&state=[1-101]");
        let loaded = browser.one(&forged, None, &heads.each_ref().map(String::as_str));
        let says = "a page has had this loaded";
        loaded.refuses(403, says);
        assert_eq!(loaded.body.to_lowercase().matches(says).count(), 101, "{mode}, {dest}");
        assert!(!loaded.headers.iter().any(|line| line.to_ascii_lowercase().starts_with("set-cookie")), "{loaded:?}");
    }
    let there = browser.one(&ground.portal("/staff/oidc"), None, &[]).next;
    let back = ground.portal(&format!("/staff/oidc/callback?error=no&state={}", parameter(&there, "state")));
    let came = browser.one(&back, None, &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]);
    came.refuses(403, "the identity provider refuses: no");
    answer(&own, json!({}), "").password();

    // Somebody else whom the provider calls jane by now, and her under the name of somebody else, are refused.
    let issued = || ground.records().iter().filter(|record| record["verb"] == "token.issued").count();
    let lena = ground.stage.write_secret("lena.password", "correct horse battery").expect("a file");
    ground.must(&["staff", "create", "lena", "--password-file", &lena.to_string_lossy()]);
    let before = issued();
    answer(&own, json!({"sub": "4712"}), "").refuses(403, "knew &quot;jane&quot; as somebody else before");
    answer(&own, json!({"preferred_username": "lena"}), "").refuses(403, "by another name");
    ground.is_recorded("subject-changed", "jane");
    ground.is_recorded("subject-elsewhere", "lena");
    assert_eq!(issued(), before);
    ground.must(&["staff", "forget-subject", "jane"]);
    answer(&own, json!({"sub": "4712"}), "").password();
    answer(&own, json!({}), "").refuses(403, "as somebody else before");

    // The password door, which is open here, does not make the provider's next subject somebody new.
    let page = browser.one(&ground.portal("/staff"), None, &[]);
    assert!(page.body.contains("/staff/oidc") && page.body.contains("<form"), "{page:?}");
    let stored = ground.stage.secret("jane.password").expect("a password");
    let code = code_of(&second_factor::secret(&ground, "jane"), step_at(SystemClock.now()));
    assert_eq!(second_factor::ask(&ground, "jane", &stored, &code).status, 200);
    answer(&own, json!({}), "").refuses(403, "as somebody else before");
    answer(&own, json!({"sub": "4712"}), "").password();
}
