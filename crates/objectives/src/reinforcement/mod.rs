//! Learning from rewards of the policy's own samples: what the methods share.
//!
//! One step has five parts, each a pure function:
//! 1. [`shaping`]: the rewards of each token, from a score, a KL penalty ([`kl`]) and rules.
//! 2. Advantages: how much better than expected. With a value head [`advantages`]; without, [`group`], [`rloo`], [`remax`],
//!    [`reinforce`] or [`reinforce_plus_plus`], which differ in nothing else; [`process`] is [`group`] for rewards of steps.
//! 3. [`policy_gradient`]: the loss of the tokens, the same for all methods, and [`value`] for the head; [`ppo`] is both.
//! 4. [`mismatch`]: whether the engine that generated is the policy that learns.
//! 5. [`over_optimisation`](crate::over_optimisation): whether the rewards still mean anything.
//!
//! What came from the engine (log-probabilities, values, entropies) is `f32`; what these functions make of it for each
//! other (rewards, advantages, returns) stays `f64`.

pub mod advantages;
pub mod group;
pub mod kl;
pub mod mismatch;
pub mod policy_gradient;
pub mod ppo;
pub mod process;
pub mod reinforce;
pub mod reinforce_plus_plus;
pub mod remax;
pub mod rloo;
pub mod shaping;
pub mod value;

#[cfg(test)]
mod table;
