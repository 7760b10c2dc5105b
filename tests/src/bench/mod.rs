//! `cargo xtask bench`: what the program costs, by `BPF_PROG_TEST_RUN`, over a program
//! that does nothing, on the documented policy's packets and under filter sets of any size;
//! how many packets per second it takes across a wire; both beside other filters; and how
//! long an update of the rules takes.
//!
//! Everything is measured in rounds that go through all cases, forwards and backwards in
//! turn, so that a machine that becomes slower does so for all of them. A case's cost is
//! what it takes longer than the no-op right before it, a rate is held against that of a program
//! that does nothing else in the same round; what is told is the median over the rounds,
//! with the least and the most.

mod bar;
mod budget;
mod case;
mod costliest;
mod documented;
mod generated;
mod generator;
mod machine;
mod peers;
mod picture;
mod plan;
pub mod plot;
mod program;
mod progress;
mod rate;
mod receiver;
mod reference;
mod results;
mod ruleset;
mod runner;
mod section;
mod sets;
mod spread;
mod throughput;
mod traffic;
mod updates;
mod wrapper;

pub use bar::{Bar, Side};
pub use case::{Effort, Figure};
pub use machine::Machine;
pub use peers::Tool;
pub use plan::{Part, Plan, measure};
pub use program::Programs;
pub use rate::Rate;
pub use results::Results;
pub use runner::Volume;
pub use sets::{SetFigures, Sets};
pub use spread::Spread;
pub use updates::Update;

/// The order of a round: forwards, then backwards, and so on.
fn in_turn<T>(round: u32, items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut order: Vec<T> = items.into_iter().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}
