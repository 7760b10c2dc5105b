//! The Ethernet frames of captures in the classic libpcap format.

use std::fs;
use std::path::{Path, PathBuf};

use pcap_parser::{LegacyPcapSlice, Linktype, PcapBlockOwned, parse_pcap_header};

/// What a folder of captures held.
#[derive(Debug, Default)]
pub struct Captures {
    /// The Ethernet frames, and where each stood: `name.pcap frame 3`.
    pub frames: Vec<(String, Vec<u8>)>,
    /// Files all of whose records could be read.
    pub read: usize,
    /// Files of another link type than Ethernet.
    pub foreign: usize,
    /// Files that are no capture, or break off inside a record. The records
    /// before the break are in `frames`.
    pub broken: usize,
}

impl Captures {
    /// The captures of `folder`: its files named `*.pcap`, in the order of
    /// their names.
    ///
    /// # Panics
    /// `folder` or a file in it cannot be read.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let entries = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the folder can be listed").path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "pcap")
            })
            .collect();
        files.sort();
        let mut captures = Self::default();
        for path in files {
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
            let name = path.file_name().expect("it is a file").to_string_lossy();
            captures.add(&name, &bytes);
        }
        captures
    }

    /// Adds the frames of one capture.
    fn add(&mut self, name: &str, capture: &[u8]) {
        let (Ok((_, header)), Ok(records)) = (
            parse_pcap_header(capture),
            LegacyPcapSlice::from_slice(capture),
        ) else {
            self.broken += 1;
            return;
        };
        if header.network != Linktype::ETHERNET {
            self.foreign += 1;
            return;
        }
        for (number, record) in records.enumerate() {
            match record {
                Ok(PcapBlockOwned::Legacy(record)) => {
                    let place = format!("{name} frame {}", number + 1);
                    self.frames.push((place, record.data.to_vec()));
                }
                Ok(_) => {}
                Err(_) => {
                    self.broken += 1;
                    return;
                }
            }
        }
        self.read += 1;
    }
}
