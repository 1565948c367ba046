//! Bytes of a file, shared between readers.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// Shared bytes: a map of a file, or a buffer filled from one. Clones are cheap and see the same bytes; a mapped file
/// stays readable through its views after its name is gone.
#[derive(Clone)]
pub struct View {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl View {
    /// Returns a view of what `owner` holds.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { owner: Arc::new(owner) }
    }

    /// The same bytes, as long as another holds them.
    pub(crate) fn downgrade(&self) -> WeakView {
        WeakView { owner: Arc::downgrade(&self.owner) }
    }
}

/// Bytes that are there as long as another holds a [`View`] of them.
#[derive(Clone)]
pub(crate) struct WeakView {
    owner: Weak<dyn AsRef<[u8]> + Send + Sync>,
}

impl WeakView {
    /// The bytes, if they are still there.
    pub(crate) fn upgrade(&self) -> Option<View> {
        self.owner.upgrade().map(|owner| View { owner })
    }
}

impl fmt::Debug for WeakView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakView")
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.owner).as_ref()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.len()).finish()
    }
}
