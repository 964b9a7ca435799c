//! Classes of errors: what can be done about a failure.

/// What can be done about a failure. Each error of this crate that a job may end with says its class by a method `class`;
/// `None` means that its cause decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Trying again is safe and may help.
    Transient,
    /// The call, a setting, a permission or the service must change.
    Usage,
    /// The data is refused: people must look at it.
    Refused,
    /// A limit was exceeded: it must be raised, or the data looked into.
    Limit,
}

/// Gives an error that is always of one class its method `class`.
macro_rules! class {
    ($error:ty => $class:ident) => {
        impl $error {
            /// What can be done about it.
            pub fn class(&self) -> $crate::domain::class::Class {
                $crate::domain::class::Class::$class
            }
        }
    };
}
pub(crate) use class;
