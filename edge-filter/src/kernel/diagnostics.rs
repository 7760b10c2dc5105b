//! What programs say of frames, as aya-log carries it: each program that says anything has a
//! ring of its own.

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::KernelError;

/// The ring (aya-log-ebpf's name for it).
pub(super) const MAP: &str = "AYA_LOGS";

/// What is done with the words of a program.
type Hear = Box<dyn Fn(&str) + Send + Sync>;

/// One program, listened to.
pub struct Diagnostics(EbpfLogger<Listener>);

struct Listener(Hear);

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.0)(&record.args().to_string());
    }

    fn flush(&self) {}
}

impl Diagnostics {
    /// Those of the program of this number, each of which `hear` gets.
    ///
    /// # Errors
    /// There is no such program, it says nothing, or the kernel refuses.
    pub fn of(program_id: u32, hear: Hear) -> Result<Self, KernelError> {
        EbpfLogger::init_from_id_with_logger(program_id, Listener(hear))
            .map(Self)
            .map_err(|error| {
                KernelError::new(format!("listen to the diagnostics of program {program_id}"))
                    .because(error)
            })
    }

    /// Hands over what was said since the last time.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}
