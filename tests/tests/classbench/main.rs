//! Filter sets of `ClassBench`: how they are read, what those that are made up are like,
//! and that the reference model, the data path on the host and the program in the kernel
//! judge by each of them alike.

mod agreement;
mod format;
mod likeness;
mod mistakes;
mod policies;
mod real;
