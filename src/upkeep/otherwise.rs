//! What is done where something does not come to its end.

/// Does something when it is dropped, unless it was told that all went well: after an error, and after a panic of a clock or a file system
/// that the program gave.
#[must_use]
pub(crate) struct Otherwise<F: FnMut()> {
    work: F,
    is_well: bool,
}

impl<F: FnMut()> Otherwise<F> {
    pub(crate) fn new(work: F) -> Self {
        Self { work, is_well: false }
    }

    /// Nothing is to be done.
    pub(crate) fn went_well(mut self) {
        self.is_well = true;
    }
}

impl<F: FnMut()> Drop for Otherwise<F> {
    fn drop(&mut self) {
        if !self.is_well {
            (self.work)();
        }
    }
}
