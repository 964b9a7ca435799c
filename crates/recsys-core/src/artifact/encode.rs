//! What a document lists, as text.

/// What a document lists.
pub(crate) trait Encode: Send + Sync {
    /// Appends it as compact JSON. Written by hand, because documents are long lists of short objects whose
    /// field names never need an escape.
    fn push(&self, out: &mut Vec<u8>);
}

impl<R: Encode> Encode for &R {
    fn push(&self, out: &mut Vec<u8>) {
        R::push(self, out);
    }
}
