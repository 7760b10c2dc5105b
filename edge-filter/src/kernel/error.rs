//! What went wrong in the kernel's realm, and what to try.

use std::error::Error;
use std::fmt;

use crate::compile::CompileError;

/// A failure: what was being done, to what, what the kernel answered, and what
/// to try.
#[derive(Debug)]
pub struct KernelError {
    doing: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    remedy: Option<String>,
}

impl KernelError {
    /// `doing` completes the sentence "cannot …".
    pub fn new(doing: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            cause: None,
            remedy: None,
        }
    }

    /// Adds what the kernel answered.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn try_this(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same without what to try: there is something better to do.
    #[must_use]
    pub fn without_remedy(mut self) -> Self {
        self.remedy = None;
        self
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.doing)?;
        let mut cause: Option<&dyn Error> = self.cause.as_ref().map(|cause| &**cause as _);
        let mut said = String::new();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some libraries repeat their source in their own message.
            if !said.contains(&words) {
                write!(f, ": {words}")?;
                said.push_str(&words);
            }
            cause = error.source();
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  help: {remedy}")?;
        }
        Ok(())
    }
}

impl Error for KernelError {}

impl From<CompileError> for KernelError {
    fn from(error: CompileError) -> Self {
        let remedy = match &error {
            CompileError::OverBudget(over) => Some(over.remedy()),
            _ => None,
        };
        Self {
            remedy,
            ..Self::new("compile the policy").because(error)
        }
    }
}
