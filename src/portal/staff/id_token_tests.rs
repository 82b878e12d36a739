use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_795_262_400_000_000);
const SECONDS: i64 = 1_795_262_400;
const ISSUER: &str = "https://login.vendor.example";

/// A key of the provider's, and how its set shows it.
struct Key {
    private: EncodingKey,
    public: Jwk,
}

fn key(kid: &str) -> Key {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let private = EncodingKey::from_ec_der(der.as_ref());
    let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).expect("its public half");
    public.common.key_id = Some(kid.to_owned());
    Key { private, public }
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: "portreeve",
        nonce: "n-1",
        amr: &[],
        acr: &[],
        signed_in_within: None,
        claim: "preferred_username",
        claim_suffix: "",
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "portreeve", "sub": "4711", "nonce": "n-1", "iat": SECONDS - 5, "exp": SECONDS + 300,
        "auth_time": SECONDS - 60, "amr": ["pwd", "otp"], "preferred_username": "jane", "email": "jane@vendor.example",
    })
}

/// The usual claims, some of them otherwise; null: not there.
fn with(changes: &Value) -> Value {
    let mut claims = claims();
    let all = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(all.remove(name)),
            value => drop(all.insert(name.clone(), value.clone())),
        }
    }
    claims
}

fn answer(changes: &Value, expected: &Expected<'_>) -> Result<Identity, Rejected> {
    let key = key("k1");
    let token = encode(&header(Algorithm::ES256, Some("k1")), &with(changes), &key.private).expect("signed");
    verify(&token, &[key.public], expected, NOW)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp((SECONDS + seconds) * 1_000_000)
}

#[test]
fn a_token_that_holds_says_who_it_is() {
    let jane = Identity {
        name: "jane".to_owned(),
        subject: "4711".to_owned(),
        digest: sha256(format!("{ISSUER}\0{}", "4711").as_bytes()),
        methods: vec!["pwd".to_owned(), "otp".to_owned()],
    };
    assert_eq!(answer(&json!({}), &expected()), Ok(jane));
    // What a provider may do as well.
    for changes in [
        json!({"aud": ["portreeve"]}),
        json!({"aud": ["portreeve", "other"], "azp": "portreeve"}),
        json!({"exp": SECONDS - 59}),
        json!({"iat": SECONDS + 59}),
        json!({"iat": 1_795_262_399.5}),
        json!({"nbf": SECONDS}),
        json!({"amr": null}),
    ] {
        assert!(answer(&changes, &expected()).is_ok(), "{changes}");
    }
}

#[test]
fn every_claim_that_does_not_hold_is_refused_by_its_name() {
    let claim = |name: &str| Rejected::Claim(name.to_owned());
    for (changes, rejected) in [
        (json!({"iss": "https://evil.example"}), Rejected::Issuer("https://evil.example".to_owned())),
        (json!({"iss": format!("{ISSUER}/")}), Rejected::Issuer(format!("{ISSUER}/"))),
        (json!({"iss": null}), claim("iss")),
        (json!({"aud": "other"}), Rejected::Audience),
        (json!({"aud": null}), Rejected::Audience),
        (json!({"aud": []}), Rejected::Audience),
        (json!({"aud": ["portreeve", "other"]}), Rejected::Audience),
        (json!({"azp": "other"}), Rejected::Audience),
        (json!({"nonce": "n-2"}), Rejected::Nonce),
        (json!({"nonce": null}), Rejected::Nonce),
        (json!({"exp": SECONDS - 60}), Rejected::Over(at(-60))),
        (json!({"exp": null}), claim("exp")),
        (json!({"exp": "tomorrow"}), claim("exp")),
        (json!({"exp": -1}), claim("exp")),
        (json!({"iat": SECONDS + 61}), Rejected::Early(at(61))),
        (json!({"iat": null}), claim("iat")),
        (json!({"nbf": SECONDS + 61}), Rejected::Early(at(61))),
        (json!({"sub": null}), claim("sub")),
        (json!({"preferred_username": null}), claim("preferred_username")),
        (json!({"preferred_username": ""}), claim("preferred_username")),
        (json!({"preferred_username": ["jane"]}), claim("preferred_username")),
    ] {
        assert_eq!(answer(&changes, &expected()), Err(rejected), "{changes}");
    }
}

#[test]
fn a_second_factor_and_a_fresh_sign_in_are_held_to_what_is_asked_for() {
    let (methods, contexts) = (["otp".to_owned(), "hwk".to_owned()], ["urn:mfa".to_owned()]);
    let amr = Expected { amr: &methods, ..expected() };
    assert!(answer(&json!({}), &amr).is_ok());
    for (had, said) in [(json!(["pwd"]), "pwd"), (json!(null), "none"), (json!([]), "none"), (json!(7), "none")] {
        let refused = answer(&json!({"amr": had}), &amr).expect_err("a password is one factor");
        assert_eq!(
            refused.to_string(),
            format!("a second factor is needed: the provider names {said}, and one of otp, hwk is asked for")
        );
    }
    let acr = Expected { acr: &contexts, ..expected() };
    assert!(answer(&json!({"acr": "urn:mfa"}), &acr).is_ok());
    assert!(matches!(answer(&json!({"acr": "0"}), &acr), Err(Rejected::SecondFactor { .. })));
    assert!(matches!(answer(&json!({}), &acr), Err(Rejected::SecondFactor { .. })));
    let lately = Expected { signed_in_within: Some(Duration::from_secs(600)), ..expected() };
    assert!(answer(&json!({"auth_time": SECONDS - 659}), &lately).is_ok());
    assert_eq!(answer(&json!({"auth_time": SECONDS - 660}), &lately), Err(Rejected::LongAgo(at(-660))));
    assert_eq!(answer(&json!({"auth_time": null}), &lately), Err(Rejected::Claim("auth_time".to_owned())));
}

#[test]
fn a_name_is_taken_from_the_claim_that_is_configured() {
    let email = Expected { claim: "email", claim_suffix: "@vendor.example", ..expected() };
    let verified = answer(&json!({"email_verified": true}), &email).map(|identity| identity.name);
    assert_eq!(verified, Ok("jane".to_owned()));
    for unverified in [json!({}), json!({"email_verified": false}), json!({"email_verified": "true"})] {
        assert_eq!(answer(&unverified, &email), Err(Rejected::Unverified("jane@vendor.example".to_owned())));
    }
    let elsewhere = json!({"email_verified": true, "email": "jane@customer.example"});
    let (name, suffix) = ("jane@customer.example".to_owned(), "@vendor.example".to_owned());
    assert_eq!(answer(&elsewhere, &email), Err(Rejected::Suffix { name, suffix }));
}

#[test]
fn only_a_key_of_the_providers_signs() {
    let (own, other) = (key("k1"), key("k1"));
    let keys = [own.public.clone(), key("k2").public];
    let sign = |key: &Key, kid| encode(&header(Algorithm::ES256, kid), &claims(), &key.private).expect("signed");
    assert!(verify(&sign(&own, Some("k1")), &keys, &expected(), NOW).is_ok());
    for (token, keys, rejected) in [
        (sign(&other, Some("k1")), keys.as_slice(), Rejected::Signature),
        (sign(&own, Some("k2")), keys.as_slice(), Rejected::Signature),
        (sign(&own, Some("k3")), keys.as_slice(), Rejected::UnknownKey),
        (sign(&own, None), keys.as_slice(), Rejected::UnknownKey),
        (sign(&own, Some("k1")), &[], Rejected::UnknownKey),
    ] {
        assert_eq!(verify(&token, keys, &expected(), NOW), Err(rejected));
    }
    let alone = std::slice::from_ref(&own.public);
    assert!(verify(&sign(&own, None), alone, &expected(), NOW).is_ok(), "one key needs no name");
    // The signature of other claims.
    let (token, forged) = (
        sign(&own, Some("k1")),
        encode(&header(Algorithm::ES256, Some("k1")), &with(&json!({"preferred_username": "lena"})), &own.private)
            .expect("signed"),
    );
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mixed = [&parts(&token)[0], &parts(&forged)[1], &parts(&token)[2]].map(String::as_str).join(".");
    assert_eq!(verify(&mixed, alone, &expected(), NOW), Err(Rejected::Signature));
    for not in ["", "a.b", "a.b.c", "....", &token[1..]] {
        assert_eq!(verify(not, alone, &expected(), NOW), Err(Rejected::Malformed), "{not:?}");
    }
}

/// The oldest tricks: no signature at all, and a public key used as a shared secret.
#[test]
fn neither_none_nor_a_shared_secret_counts() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let own = key("k1");
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", encoded(&json!({"alg": "none", "kid": "k1"})), encoded(&claims()));
    assert_eq!(verify(&none, std::slice::from_ref(&own.public), &expected(), NOW), Err(Rejected::Malformed));
    let public = serde_json::to_vec(&own.public).expect("JSON");
    let shared = EncodingKey::from_secret(&public);
    let token = encode(&header(Algorithm::HS256, Some("k1")), &claims(), &shared).expect("signed");
    assert_eq!(verify(&token, std::slice::from_ref(&own.public), &expected(), NOW), Err(Rejected::Algorithm));
    let mut bound = own.public.clone();
    bound.common.key_algorithm = Some(jsonwebtoken::jwk::KeyAlgorithm::ES384);
    let token = encode(&header(Algorithm::ES256, Some("k1")), &claims(), &own.private).expect("signed");
    assert_eq!(verify(&token, &[bound], &expected(), NOW), Err(Rejected::Algorithm), "the key is for another");
}

#[test]
fn a_set_of_keys_is_read_as_far_as_it_is_of_use() {
    let mut own = serde_json::to_value(key("k1").public).expect("JSON");
    let mut sealing = serde_json::to_value(key("k2").public).expect("JSON");
    (own["use"], sealing["use"]) = (json!("sig"), json!("enc"));
    let shared = json!({"kty": "oct", "kid": "k3", "k": "c2VjcmV0"});
    let later = json!({"kty": "quantum", "kid": "k4"});
    let found = keys(&json!({"keys": [shared, sealing, later, 7, own]}));
    assert_eq!(found.iter().map(|key| key.common.key_id.as_deref()).collect::<Vec<_>>(), [Some("k1")]);
    for nothing in [json!({}), json!([]), json!(null), json!({"keys": 1})] {
        assert!(keys(&nothing).is_empty());
    }
}
