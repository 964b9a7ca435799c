//! SIGTERM and SIGINT: the first signal asks the process to stop at the next safe point, the second ends it at once.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use recsys_core::threads::interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Number of the last signal; 0 before the first.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Installs the signal handlers.
pub(crate) fn watch() -> io::Result<()> {
    for (signal, number) in [(SIGTERM, 15), (SIGINT, 2)] {
        // Registered before the handler that sets the flag, so that only the second signal finds it set. PID 1 of a
        // container cannot be killed by its own signal, so it exits with the code shells use for one.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(interrupt::flag()))?;
        flag::register(signal, Arc::clone(interrupt::flag()))?;
        flag::register_usize(signal, Arc::clone(&SIGNAL), number)?;
    }
    Ok(())
}

/// Name of the signal that asked to stop.
pub(crate) fn signal() -> &'static str {
    if SIGNAL.load(Ordering::Relaxed) == 2 { "SIGINT" } else { "SIGTERM" }
}
