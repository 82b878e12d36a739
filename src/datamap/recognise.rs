//! What a value looks like: an e-mail address, a telephone number, a name. Values come in, only tallies go out.
//! Not here: deciding about a column (`propose.rs`).

use std::net::IpAddr;

use super::Category;

/// How many of a column's sampled values look like what. Holds no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    values: usize,
    looks: Vec<(Category, usize)>,
}

impl Tally {
    /// Counts one value; empty ones say nothing.
    pub fn add(&mut self, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        self.values += 1;
        let Some(category) = look(value) else { return };
        match self.looks.iter_mut().find(|(known, _)| *known == category) {
            Some((_, count)) => *count += 1,
            None => self.looks.push((category, 1)),
        }
    }

    /// The category that a third of the values or more look like; the most frequent one.
    pub fn category(&self) -> Option<Category> {
        let (category, count) = self.looks.iter().max_by_key(|(_, count)| *count)?;
        (count * 3 >= self.values).then_some(*category)
    }
}

/// What a value looks like.
pub fn look(value: &str) -> Option<Category> {
    let value = value.trim();
    if is_email(value) {
        Some(Category::Contact)
    } else if is_network(value) {
        Some(Category::Network)
    } else if is_iban(value) {
        Some(Category::Financial)
    } else if is_telephone(value) {
        Some(Category::Contact)
    } else if is_credential(value) {
        Some(Category::Credential)
    } else if is_street(value) {
        Some(Category::Location)
    } else if is_free_text(value) {
        Some(Category::FreeText)
    } else if is_full_name(value) {
        Some(Category::Identity)
    } else {
        None
    }
}

fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.split_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@' && c != '/';
    !local.is_empty()
        && local.chars().all(plain)
        && domain.split('.').count() >= 2
        && domain.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
}

fn is_network(value: &str) -> bool {
    let mac = value.split([':', '-']).collect::<Vec<_>>();
    let is_mac = mac.len() == 6 && mac.iter().all(|part| part.len() == 2 && is_hexadecimal(part));
    is_mac || value.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_iban(value: &str) -> bool {
    let compact: Vec<u8> = value.bytes().filter(|byte| *byte != b' ').collect();
    let (Some(country), Some(check)) = (compact.get(..2), compact.get(2..4)) else { return false };
    (15..=34).contains(&compact.len())
        && country.iter().all(u8::is_ascii_uppercase)
        && check.iter().all(u8::is_ascii_digit)
        && compact.iter().all(u8::is_ascii_alphanumeric)
}

/// International or with separators; a bare number is more likely an order's.
fn is_telephone(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let separated = value.starts_with('+') || value.starts_with('0') && value.contains([' ', '-', '/', '(']);
    (7..=15).contains(&digits)
        && separated
        && value.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '/' | '(' | ')' | '.'))
        && value.matches('-').count() < 5
}

fn is_credential(value: &str) -> bool {
    ["$2a$", "$2b$", "$2y$", "$argon2", "$pbkdf2", "SCRAM-SHA-256$", "sk_live_", "eyJ", "-----BEGIN "]
        .iter()
        .any(|start| value.starts_with(start))
}

fn is_street(value: &str) -> bool {
    const WORDS: [&str; 14] = [
        "street", "straße", "strasse", "str.", "road", "avenue", "lane", "straat", "gade", "vej", "rue", "laan", "weg",
        "gatan",
    ];
    let lower = value.to_lowercase();
    let named = |word: &str| WORDS.iter().any(|street| word.ends_with(street));
    value.len() <= 80 && value.bytes().any(|byte| byte.is_ascii_digit()) && lower.split([' ', ',']).any(named)
}

fn is_free_text(value: &str) -> bool {
    value.split_whitespace().count() >= 5 && value.len() >= 25
}

fn is_full_name(value: &str) -> bool {
    let words: Vec<&str> = value.split(' ').collect();
    let is_name = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase)
            && word.chars().count() >= 2
            && word.chars().skip(1).any(char::is_lowercase)
            && letters.all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | '.' | '’'))
    };
    (2..=4).contains(&words.len()) && words.iter().all(is_name)
}
