//! Every operation of the CPU backend against the reference, and every backward of the reference against finite
//! differences of its forward.

mod attention;
mod elementwise;
mod harness;
mod head;
mod int8;
mod memory;
mod norms;
mod optimiser;
mod products;
mod reference_gradients;
mod units;
