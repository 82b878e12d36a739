//! What must not be printed and must not linger: a wrapper that hides its content and wipes it.

use std::fmt;

use zeroize::Zeroize;

/// A secret value. `Debug` shows `***`; the memory is wiped when it is dropped; it can be neither cloned nor
/// serialised by accident.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value into keeping.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// Shows the value to code that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
