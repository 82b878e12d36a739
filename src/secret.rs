//! What must not be printed and must not linger: a wrapper that hides its content and wipes it.

use std::fmt;

use zeroize::Zeroize;

/// A secret value. `Debug` shows `***`; its own memory on the heap is wiped when it is dropped; it can be neither cloned nor
/// serialised by accident. It stays in one place: what is moved is where that is, so that no copy is left on the way.
pub struct Secret<T: Zeroize>(Box<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes the value into keeping.
    pub fn new(value: T) -> Self {
        Secret(Box::new(value))
    }

    /// Shows the value to code that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        T::zeroize(&mut self.0);
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Wipes values in place, as fast as memory is written: `Zeroize` does so byte by byte, which each record would pay for.
#[inline]
pub fn wipe<T: Copy + Default>(values: &mut [T]) {
    values.fill(T::default());
    zeroize::optimization_barrier(values);
}

/// Wipes 128 KiB of this thread's stack below the caller: what functions that it called left there of keys that were handed
/// on by value. Not what lies deeper, nor what registers hold.
#[inline(never)]
pub fn wipe_stack() {
    // A place that may be written to: a reference to a constant would be to the program's own data.
    let mut below = [0_u8; 128 << 10];
    std::hint::black_box(&mut below);
}
