//! What can be said about a statement without running it: a label, and its bind values in words.
//! Not here: any decision. Nothing in this module guards anything; the database's own privileges do (`fence/`).

mod calendar;
pub mod function;
pub mod label;
mod lexer;
pub mod value;

pub use label::{Label, label};
