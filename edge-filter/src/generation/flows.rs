//! The flow table of a generation, and the conversations that are open when it begins.
//!
//! The table outlives generations. One of another size takes over what the former one
//! holds.

use edge_filter_ebpf::flow;

use super::Instance;
use crate::kernel::flow_table::{FlowTable, LiveFlow, Opened, addresses};
use crate::kernel::object::Seeder;
use crate::kernel::{KernelError, conntrack, sockets, unpin};
use crate::policy::Policy;
use crate::policy::model::Tracker;
use crate::policy::model::conversations::Tuple;

/// The flow table of a generation on its way.
#[derive(Debug)]
pub(super) struct Flows {
    table: FlowTable,
    made_by: u64,
    is_new: bool,
    /// Tables that other generations may use still.
    former: Vec<FlowTable>,
    /// Loaded before anything changes hands: conversations are entered between the first
    /// program that is replaced and the last.
    seeder: Seeder,
}

impl Flows {
    /// The table for `policy`, if that has anything remembered: the one of the
    /// generation before, `former`, if it has the right size, else a new one. A trial uses
    /// it whatever its size, so that what is opened meanwhile is known afterwards.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn prepare(
        instance: &Instance,
        policy: &Policy,
        generation: u64,
        former: Option<u64>,
        on_trial: bool,
    ) -> Result<Option<Self>, KernelError> {
        if !Tracker::new(policy).tracks() {
            return Ok(None);
        }
        let wanted = policy.flows.entries;
        let mut found = None;
        let mut others = Vec::new();
        for (made_by, path) in instance.pins.flow_tables()? {
            if path != instance.pins.flows(made_by) {
                // Of another form, which this program cannot read.
                continue;
            }
            let table = FlowTable::open(&path)?;
            if Some(made_by) == former && (on_trial || table.entries()? == wanted) {
                found = Some((table, made_by));
            } else {
                others.push(table);
            }
        }
        let is_new = found.is_none();
        let (table, made_by) = if let Some(found) = found {
            found
        } else {
            let path = instance.pins.flows(generation);
            (FlowTable::create(&path, wanted)?, generation)
        };
        let seeder = Seeder::load(&table).inspect_err(|_| {
            if is_new {
                let _ = unpin(table.path());
            }
        })?;
        Ok(Some(Self {
            table,
            made_by,
            is_new,
            former: others,
            seeder,
        }))
    }

    pub(super) fn table(&self) -> &FlowTable {
        &self.table
    }

    /// The generation that made the table.
    pub(super) fn made_by(&self) -> u64 {
        self.made_by
    }

    /// Enters the conversations that are open now and that `policy` allows the trusted
    /// side to open. Says what could not be asked.
    ///
    /// # Errors
    /// The kernel refuses to enter them.
    pub(super) fn enter_open(&mut self, policy: &Policy) -> Result<Vec<String>, KernelError> {
        let mut open: Vec<Opened> = Vec::new();
        let mut warnings = Vec::new();
        for former in &self.former {
            open.extend(former.list()?.live.iter().map(LiveFlow::opened));
        }
        for (found, of_what) in [
            (sockets::conversations(), "this host's sockets"),
            (conntrack::conversations(), "connection tracking"),
        ] {
            match found {
                Ok(found) => open.extend(found),
                Err(error) => warnings.push(format!(
                    "cannot ask for the conversations of {of_what}: {error}\n  help: those that \
                     are open now go on when the trusted side speaks next"
                )),
            }
        }
        let tracker = Tracker::new(policy);
        open.retain(|(tuple, _)| tracker.records(&model_tuple(tuple)));
        self.seeder.enter(&open)?;
        Ok(warnings)
    }

    /// Removes what `prepare` made.
    pub(super) fn take_back(&self) {
        if self.is_new {
            let _ = unpin(self.table.path());
        }
    }
}

/// Removes every flow table but the one that the generation `kept` made.
///
/// # Errors
/// The BPF file system refuses.
pub(super) fn remove_others(instance: &Instance, kept: Option<u64>) -> Result<(), KernelError> {
    let kept = kept.map(|generation| instance.pins.flows(generation));
    for (_, path) in instance.pins.flow_tables()? {
        if Some(&path) != kept.as_ref() {
            unpin(&path)?;
        }
    }
    Ok(())
}

/// The tuple, as the reference model has it.
pub(super) fn model_tuple(tuple: &flow::Tuple) -> Tuple {
    let (source, destination) = addresses(tuple);
    Tuple {
        source,
        destination,
        protocol: tuple.protocol,
        ports: (tuple.source_port, tuple.destination_port),
    }
}
