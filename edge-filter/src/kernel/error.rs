//! What went wrong in the kernel's realm, and what to try.

use std::error::Error;
use std::fmt;

use super::{exhausted, privileges};
use crate::compile::CompileError;

/// A failure: what was being done, to what, what the kernel answered, and what
/// to try. Where files or memory have run out, that is what to do something about,
/// whatever was being done.
#[derive(Debug)]
pub struct KernelError {
    doing: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    now: Option<String>,
    remedy: Option<String>,
}

impl KernelError {
    /// `doing` completes the sentence "cannot …".
    pub fn new(doing: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            cause: None,
            now: None,
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

    /// Adds how things stand now, where they are not as they were before.
    #[must_use]
    pub fn leaving(mut self, now: impl Into<String>) -> Self {
        self.now = Some(now.into());
        self
    }

    /// The same without what to try: there is something better to do.
    #[must_use]
    pub fn without_remedy(mut self) -> Self {
        self.remedy = None;
        self
    }

    /// Adds what to try if the kernel has forbidden it.
    #[must_use]
    pub(super) fn if_forbidden(self) -> Self {
        let number = self
            .cause
            .as_ref()
            .and_then(|cause| exhausted::number(&**cause));
        match number {
            Some(libc::EPERM | libc::EACCES) => self.try_this(privileges::remedy()),
            _ => self,
        }
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
        let exhausted = self
            .cause
            .as_ref()
            .and_then(|cause| exhausted::remedy(&**cause));
        let remedy = exhausted.or(self.remedy.as_deref());
        match (self.now.as_deref(), remedy) {
            (None, None) => Ok(()),
            (Some(now), Some(remedy)) => write!(f, "\n  help: {now}; {remedy}"),
            (Some(words), None) | (None, Some(words)) => write!(f, "\n  help: {words}"),
        }
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
