//! The conversations that the flow table remembers, as `flows` reports them.

use std::net::SocketAddr;

use serde::Serialize;

use super::Instance;
use super::attached::enforced;
use super::flows::model_tuple;
use super::reading::steadily;
use crate::kernel::KernelError;
use crate::kernel::flow_table::{FlowTable, LiveFlow};
use crate::policy::describe::protocol_name;
use crate::policy::model::Tracker;

/// What is remembered, as `flows --json` prints it.
#[derive(Debug, Serialize)]
pub struct FlowReport {
    /// The number of conversations that the table can hold.
    pub entries_max: u32,
    /// The number that it holds.
    pub entries_used: u32,
    /// How many had to give way to others, since the table was made.
    pub evicted: u64,
    /// The conversations, the one that was used last first.
    pub flows: Vec<FlowEntry>,
}

/// A conversation.
#[derive(Debug, Serialize)]
pub struct FlowEntry {
    /// The rule that lets its replies pass; null if the policy allows it no more.
    pub rule: Option<String>,
    /// `tcp`, `udp` and so on, or the IP protocol number.
    pub protocol: String,
    /// Its opener, with the port; with the identifier, of an ICMP echo.
    pub from: String,
    /// The other side.
    pub to: String,
    /// Seconds since it was opened.
    pub age_seconds: u32,
    /// Seconds since its opener used it, or the other side reset it.
    pub idle_seconds: u32,
    /// `open`, `closing` or `reset`.
    pub state: &'static str,
}

/// What is remembered now, the conversation that was used last first; nothing where
/// the policy has nothing remembered.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn flows(instance: &Instance) -> Result<FlowReport, KernelError> {
    steadily(instance, || flows_now(instance))
}

fn flows_now(instance: &Instance) -> Result<FlowReport, KernelError> {
    let nothing = FlowReport {
        entries_max: 0,
        entries_used: 0,
        evicted: 0,
        flows: Vec::new(),
    };
    let Some(record) = enforced(instance)? else {
        return Ok(nothing);
    };
    let Some(made_by) = record.flows else {
        return Ok(nothing);
    };
    let policy = record.policy.read(record.generation)?;
    let tracker = Tracker::new(&policy);
    let table = FlowTable::open(&instance.pins.flows(made_by))?;
    let mut list = table.list()?;
    list.live.sort_by_key(|flow| (flow.idle, flow.age));
    Ok(FlowReport {
        entries_max: table.capacity()?,
        entries_used: u32::try_from(list.live.len()).unwrap_or(u32::MAX),
        evicted: list.evicted,
        flows: list.live.iter().map(|flow| entry(flow, &tracker)).collect(),
    })
}

fn entry(flow: &LiveFlow, tracker: &Tracker<'_>) -> FlowEntry {
    let tuple = model_tuple(&flow.tuple);
    let (source_port, destination_port) = tuple.ports;
    FlowEntry {
        rule: tracker.rule(&tuple).map(|rule| rule.id.clone()),
        protocol: protocol_name(tuple.protocol),
        from: SocketAddr::new(tuple.source, source_port).to_string(),
        to: SocketAddr::new(tuple.destination, destination_port).to_string(),
        age_seconds: flow.age,
        idle_seconds: flow.idle,
        state: flow.state_name(),
    }
}
