//! Random policies, frames that they have an opinion on, and policies with a
//! seeded mistake: what the reference model, the compiled tables and the kernel
//! are held against each other with.
//!
//! Everything follows from a [`Dice`], so a seed is all that it takes to see a
//! disagreement again. The algorithm behind it is fixed and the same on every
//! machine.

pub(crate) mod draft;
mod essentials;
mod faults;
pub(crate) mod flow;
mod frame;
mod giant;
mod image;
mod mutant;
mod policy;
pub(crate) mod pool;
pub mod sequence;

#[cfg(test)]
mod figures;

pub use frame::{Frames, frame};
pub use giant::giant;
pub use image::{Damage, damage};
pub use mutant::{Mistake, Mutant, mutants};
pub use policy::{MAIN_ROLE, policy, turn};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// The source of all randomness here: xoshiro256++ (Blackman and Vigna, 2018).
pub type Dice = rand::rngs::Xoshiro256PlusPlus;

/// The dice of one seed. Print the seed where a test fails.
#[must_use]
pub fn seeded(seed: u64) -> Dice {
    Dice::seed_from_u64(seed)
}

/// Whether one of `percent` hundred sides came up.
pub(crate) fn chance(dice: &mut Dice, percent: u32) -> bool {
    dice.random_ratio(percent, 100)
}

/// Any one of `choices`, of which there must be some.
pub(crate) fn any<T: Copy>(dice: &mut Dice, choices: &[T]) -> T {
    *choices
        .choose(dice)
        .expect("there is something to choose from")
}

/// `count` random bytes.
fn bytes(dice: &mut Dice, count: usize) -> Vec<u8> {
    (0..count).map(|_| dice.random()).collect()
}
