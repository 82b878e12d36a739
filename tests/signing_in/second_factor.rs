//! Without an identity provider: the stored password and a code of the authenticator, each used once.

use portreeve::clock::{Clock as _, SystemClock};
use portreeve::grant::{SECRET_BYTES, base32, code_of, step_at};
use serde_json::{Value, json};

use crate::browser::Shown;
use crate::ground::{Ground, Place};

/// The secret in the file that an operator hands to jane.
pub(crate) fn secret(ground: &Ground, who: &str) -> Vec<u8> {
    let file = ground.stage.path(&format!("{who}.otpauth"));
    ground.must(&["staff", "second-factor", who, "--file", &file.to_string_lossy()]);
    let text = std::fs::read_to_string(&file).expect("the file");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("its mode").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let begins = format!("otpauth://totp/Portreeve:{who}?secret=");
    let typed = text.strip_prefix(&begins).and_then(|rest| rest.split('&').next()).expect(&text);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = typed.chars().map(|letter| letters.find(letter).expect("a letter of base32"));
    let bits: String = bits.map(|five| format!("{five:05b}")).collect();
    let bytes = bits.as_bytes().chunks_exact(8).map(|byte| std::str::from_utf8(byte).expect("digits"));
    let bytes: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 2).expect("eight bits")).collect();
    assert_eq!((bytes.len(), base32(&bytes).as_str()), (SECRET_BYTES, typed));
    bytes
}

/// Rows of the register that hold these bytes.
fn rows_with(ground: &Ground, bytes: &[u8]) -> i64 {
    let config = portreeve::config::load(&ground.stage.configuration()).expect("a configuration");
    let register = rusqlite::Connection::open(&config.register.path).expect("the register");
    let count = "select count(*) from side where instr(body, ?1) > 0";
    register.query_row(count, [bytes], |row| row.get(0)).expect("a count")
}

pub(crate) fn ask(ground: &Ground, name: &str, password: &str, code: &str) -> Shown {
    ask_in("api", ground, name, password, code)
}

fn ask_in(browser: &str, ground: &Ground, name: &str, password: &str, code: &str) -> Shown {
    let body = json!({"name": name, "password": password, "code": code}).to_string();
    ground.browser(browser).one(&ground.portal("/v1/staff/token"), Some(&body), &["Content-Type: application/json"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_a_code_are_worth_a_short_lived_password_once() {
    let lines = [("staff", "sign_in = \"token\""), ("limits", "attempts_per_address = 1000\nattempts_per_name = 100")];
    let lines = lines.map(|(section, line)| (section.to_owned(), line.to_owned())).to_vec();
    let ground = Ground::with(Place::new(), lines).await;
    let stored = ground.stage.secret("jane.password").expect("a password");

    let wrong = "do not belong together";
    let same = ask(&ground, "jane", "something else", "123456");
    same.refuses(403, wrong);
    // Whatever is wrong, whoever has the password alone is told the same.
    let is_same = |shown: Shown| {
        assert_eq!((shown.status, &shown.headers, &shown.body), (same.status, &same.headers, &same.body));
    };
    is_same(ask(&ground, "jane", &stored, "123456"));
    ground.is_recorded("no-second-factor", "jane");
    let secret = secret(&ground, "jane");
    let code = code_of(&secret, step_at(SystemClock.now()));
    is_same(ask(&ground, "jane", "something else", &code));
    is_same(ask(&ground, "nobody", &stored, &code));
    is_same(ask(&ground, "jane", &stored, ""));
    ground.is_recorded("wrong-password", "nobody");
    ground.is_recorded("wrong-code", "jane");

    // Twice at the same moment the code is worth one password, and the record says whose sign-in came to nothing.
    let step = step_at(SystemClock.now());
    let code = code_of(&secret, step);
    let halves = format!("{} {}", &code[..3], &code[3..]);
    let (shown, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| ask_in("other", &ground, "jane", &stored, &halves));
        let (one, other) = (ask(&ground, "jane", &stored, &halves), other.join().expect("an answer"));
        if one.status == 200 { (one, other) } else { (other, one) }
    });
    is_same(other);
    let records = ground.records();
    let count = |verb: &str| records.iter().filter(|record| record["verb"] == *verb).count();
    assert_eq!(count("staff-portal"), 1 + count("not-issued"), "{records:#?}");
    let answer: Value = serde_json::from_str(&shown.body).expect("JSON");
    assert_eq!((shown.status, &answer["user"]), (200, &Value::from("jane")), "{shown:?}");
    let token = answer["password"].as_str().expect("a password").to_owned();
    ground.use_password(&token);
    ground.stage.grant("acme", "read").expect("a grant");
    ground.is_let_in(&token);
    ground.is_turned_away("jane", &stored);

    // The same code again, from the page; and the page only from itself.
    let form = format!("name=jane&password={stored}&code={code}");
    let origin = format!("Origin: {}", ground.portal(""));
    let page = |headers: &[&str]| ground.browser("page").one(&ground.portal("/staff/token"), Some(&form), headers);
    page(&[]).refuses(403, "was not sent from");
    page(&["Origin: https://evil.example"]).refuses(403, "was not sent from");
    page(&[&origin]).refuses(403, wrong);
    is_same(ask(&ground, "jane", &stored, &code));
    if step_at(SystemClock.now()) <= step + 1 {
        ground.is_recorded("code-used", "jane");
    }
    ground.is_let_in(&token);
    let next = format!("name=jane&password={stored}&code={}", code_of(&secret, step_at(SystemClock.now()) + 1));
    let newer = ground.browser("page").one(&ground.portal("/staff/token"), Some(&next), &[&origin]).password();
    ground.is_let_in(&newer);

    // Whoever guesses codes is stopped, with the right one as well; and is not told.
    for _ in 0..5 {
        is_same(ask(&ground, "jane", &stored, "000000x"));
    }
    is_same(ask(&ground, "jane", &stored, &code_of(&secret, step_at(SystemClock.now()) + 1)));
    ground.is_recorded("codes-blocked", "jane");

    // Taken away, it is of no use, and what she has goes on until its end.
    assert_eq!(rows_with(&ground, &secret), 1);
    ground.must(&["staff", "second-factor", "jane", "--remove"]);
    assert_eq!(rows_with(&ground, &secret), 0, "nor is it kept");
    is_same(ask(&ground, "jane", &stored, &code_of(&secret, step_at(SystemClock.now()))));
    ground.is_let_in(&newer);
    ask(&ground, "jane", "", "{").refuses(403, wrong);
    let not_json = ground.browser("api").one(&ground.portal("/v1/staff/token"), Some("{"), &[]);
    not_json.refuses(400, "not what this address takes");
    ground.browser("none").one(&ground.portal("/staff/oidc"), None, &[]).refuses(404, "no identity provider");
}
