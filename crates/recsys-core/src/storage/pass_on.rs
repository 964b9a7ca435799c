//! For stores that do some things in another way than the store that they wrap.

/// Writes methods of a [`Store`](crate::storage::Store) that hand the call on to the store in a field: `pass_on!(0: uri name);`.
#[macro_export]
macro_rules! pass_on {
    ($to:tt: $($method:ident)+) => {
        $($crate::pass_on!(@ $method $to);)+
    };
    (@ uri $to:tt) => {
        $crate::pass_on!(@ $to uri(key: &str) -> String);
    };
    (@ name $to:tt) => {
        $crate::pass_on!(@ $to name(key: &str) -> String);
    };
    (@ root_exists $to:tt) => {
        $crate::pass_on!(@ $to root_exists() -> Result<bool, $crate::storage::StoreError>);
    };
    (@ open $to:tt) => {
        $crate::pass_on!(@ $to open(key: &str) -> Result<Option<Box<dyn std::io::Read + Send>>, $crate::storage::StoreError>);
    };
    (@ read_tagged $to:tt) => {
        $crate::pass_on!(@ $to read_tagged(key: &str) -> Result<Option<(Vec<u8>, $crate::storage::Tag)>, $crate::storage::StoreError>);
    };
    (@ remove $to:tt) => {
        $crate::pass_on!(@ $to remove(key: &str) -> Result<bool, $crate::storage::StoreError>);
    };
    (@ stat $to:tt) => {
        $crate::pass_on!(@ $to stat(key: &str) -> Result<Option<$crate::storage::DocumentMeta>, $crate::storage::StoreError>);
    };
    (@ list $to:tt) => {
        $crate::pass_on!(@ $to list(folder: &str) -> Result<Vec<$crate::storage::DocumentMeta>, $crate::storage::StoreError>);
    };
    (@ conditions $to:tt) => {
        $crate::pass_on!(@ $to conditions() -> Result<$crate::storage::Conditions, $crate::storage::StoreError>);
    };
    (@ $to:tt $method:ident($($name:ident: $type:ty),*) -> $answer:ty) => {
        fn $method(&self $(, $name: $type)*) -> $answer {
            self.$to.$method($($name),*)
        }
    };
}
