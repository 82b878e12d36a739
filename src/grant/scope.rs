//! How far a grant reaches, and why it was asked for: two short lists of words.
//! Not here: what a scope means inside the database (`fence/`).

use std::fmt;
use std::str::FromStr;

/// A text that is none of the words of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{found}\" is not one of {}", .expected.join(", "))]
pub struct NotAWord {
    /// The words of the list.
    pub expected: &'static [&'static str],
    /// What was found.
    pub found: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];
            /// The word of every value, in order.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word people type and read.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The number in an event; never used again for another meaning.
            pub fn number(self) -> u8 {
                self as u8
            }

            /// The value with that number.
            pub fn from_number(number: u8) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.number() == number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = NotAWord;

            fn from_str(text: &str) -> Result<Self, NotAWord> {
                let found = $name::ALL.iter().copied().find(|value| value.word() == text);
                found.ok_or_else(|| NotAWord { expected: $name::WORDS, found: text.to_owned() })
            }
        }
    };
}
pub(super) use words;

words! {
    /// How far a grant reaches. Ordered: each holds what the ones before it hold.
    Scope {
        /// Columns the data map calls non-personal; offered where there is one.
        Metadata = 1, "metadata";
        /// Every row, none changed.
        Read = 2, "read";
        /// Rows may be inserted, updated, deleted.
        Write = 3, "write";
    }
}

words! {
    /// Why a grant was asked for.
    Purpose {
        /// Something is broken.
        Fault = 1, "fault";
        /// The customer asked something.
        Question = 2, "question";
        /// Planned work.
        Operation = 3, "operation";
    }
}
