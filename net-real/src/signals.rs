//! SIGTERM and SIGINT as bytes in a pipe that the loop polls.
//!
//! The first one asks for an orderly end; a second one ends the process where it stands. SIGXFSZ is caught and does
//! nothing: it would end the process without a word where a write past the limit on file sizes fails with an error.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};

/// Signals caught so far and not yet seen by the loop.
#[derive(Debug)]
pub struct Signals {
    pipe: UnixStream,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// What the system said.
    pub fn install() -> io::Result<Signals> {
        let (pipe, far_end) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        far_end.set_nonblocking(true)?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the flag is looked at before it is set, so only a second signal ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
            signal_hook::low_level::pipe::register(signal, far_end.try_clone()?)?;
        }
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(Signals { pipe })
    }

    /// Lets a poll wake for them.
    ///
    /// # Errors
    /// What the system said.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.pipe.as_raw_fd()), token, Interest::READABLE)
    }

    /// Whether one has come since this was last asked.
    pub fn take(&mut self) -> bool {
        let mut buffer = [0; 64];
        let mut any = false;
        while matches!(self.pipe.read(&mut buffer), Ok(n) if n > 0) {
            any = true;
        }
        any
    }

    /// Waits for one at most so long; whether one came.
    pub fn wait(&mut self, most: std::time::Duration) -> bool {
        // A timeout of zero would mean forever.
        let most = most.max(std::time::Duration::from_millis(1));
        let mut byte = [0];
        let ready = self.pipe.set_nonblocking(false).and_then(|()| self.pipe.set_read_timeout(Some(most)));
        let came = ready.is_ok() && matches!(self.pipe.read(&mut byte), Ok(n) if n > 0);
        // If this failed the next wait sets it again, and `take` is not used beside it.
        let _ = self.pipe.set_nonblocking(true);
        came
    }
}
