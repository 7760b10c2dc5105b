//! Filter sets of `ClassBench` (Taylor and Turner, "`ClassBench`: A Packet Classification
//! Benchmark", INFOCOM 2005): read from files of the usual format, or made up in their
//! likeness; the policies that say what they say, and packets for them.

mod filter;
mod flavour;
mod generate;
mod header;
mod packets;
mod parse;
mod points;
mod policy;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub use filter::Filter;
pub use flavour::Flavour;
pub use generate::{Recipe, generate};
pub(crate) use header::Header;
pub use packets::Packets;
pub use parse::parse;
pub use policy::{Actions, Form, ROLE};

/// A list of filters, of which the first that matches a packet decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What it is called.
    pub name: String,
    /// The filters, in order.
    pub filters: Vec<Filter>,
}

impl Set {
    /// The set in the file at `path`, called as the file is.
    ///
    /// # Errors
    /// The file cannot be read, or holds a line that is no filter of the format, or
    /// none that a policy can say exactly.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| format!("read {file}"))?;
        let name = path.file_stem().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            filters: parse(&file, &text)?,
        })
    }
}
