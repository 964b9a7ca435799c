//! SIGTERM and SIGINT: the first one asks the process to stop at the next safe point, the second one ends it at once.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use recsys_core::threads::interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The number of the signal that came last; 0 before the first.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Begins to watch for signals.
pub(crate) fn watch() -> io::Result<()> {
    for (signal, number) in [(SIGTERM, 15), (SIGINT, 2)] {
        // Before the flag is set, so that it is the second signal that finds it set. The first process of a container
        // cannot end by a signal of its own, so it ends with the code that shells give to one.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(interrupt::flag()))?;
        flag::register(signal, Arc::clone(interrupt::flag()))?;
        flag::register_usize(signal, Arc::clone(&SIGNAL), number)?;
    }
    Ok(())
}

/// The name of the signal that asked to stop.
pub(crate) fn signal() -> &'static str {
    if SIGNAL.load(Ordering::Relaxed) == 2 { "SIGINT" } else { "SIGTERM" }
}
