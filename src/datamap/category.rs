//! The categories of personal data a column can hold: a fixed list, so that maps, exports, breach packs and certificates
//! speak of the same things. Not here: which column holds what (`DataMap`), and how to guess it (`propose.rs`).

/// What kind of personal data a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// None: amounts, states, settings of the product.
    None,
    /// A key that means a person or a customer only together with other data.
    Pseudonym,
    /// Who somebody is: names, titles, user names, pictures.
    Identity,
    /// How to reach somebody: e-mail, telephone.
    Contact,
    /// Where somebody is: addresses, postcodes, coordinates.
    Location,
    /// Date of birth, age.
    Birth,
    /// Addresses in networks, devices, cookies.
    Network,
    /// What lets somebody in: password hashes, tokens.
    Credential,
    /// Accounts, cards, salaries.
    Financial,
    /// Text that people write as they like; may hold anything.
    FreeText,
    /// What somebody did and when.
    Behaviour,
    /// Special categories of Art. 9 and 10: health, religion, origin, convictions, biometrics.
    Special,
}

impl Category {
    /// All of them.
    pub const ALL: [Category; 12] = [
        Category::None,
        Category::Pseudonym,
        Category::Identity,
        Category::Contact,
        Category::Location,
        Category::Birth,
        Category::Network,
        Category::Credential,
        Category::Financial,
        Category::FreeText,
        Category::Behaviour,
        Category::Special,
    ];

    /// As written in the file.
    pub fn word(self) -> &'static str {
        match self {
            Category::None => "none",
            Category::Pseudonym => "pseudonym",
            Category::Identity => "identity",
            Category::Contact => "contact",
            Category::Location => "location",
            Category::Birth => "birth",
            Category::Network => "network",
            Category::Credential => "credential",
            Category::Financial => "financial",
            Category::FreeText => "free-text",
            Category::Behaviour => "behaviour",
            Category::Special => "special",
        }
    }

    /// The category of that word.
    pub fn from_word(word: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.word() == word)
    }

    /// Whether a column of this category may be shown to staff whose scope is `metadata`.
    pub fn is_personal(self) -> bool {
        !matches!(self, Category::None)
    }
}
