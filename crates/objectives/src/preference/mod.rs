//! Learning from preferences: what the methods share.
//!
//! The engine measures the log-probability of each learned token of each response; [`Response`] holds them, and
//! [`Sequence`] what most methods need of them: the sums under policy and reference, and the length. A method is one of
//! three kinds, each a small trait:
//!
//! * [`PairLoss`]: a better and a worse response; a ranked list counts as the mean over its pairs.
//! * [`ListLoss`]: all responses of a prompt at once, best first.
//! * [`UnpairedLoss`]: single responses that are good or bad, against a baseline of the step.
//!
//! Whether log-probabilities are summed or divided by the length is part of each method's definition; a method says it
//! in its formula and nothing here decides it for all.
//!
//! To add a method, copy [`ipo`] (pairs), [`rrhf`] (lists) or [`kto`] (unpaired).

pub mod apo;
pub mod bco;
pub mod cpo;
pub mod discopop;
pub mod dpo;
pub mod exo;
pub mod f_dpo;
pub mod ipo;
pub mod kto;
pub mod nca;
pub mod orpo;
pub mod preferred;
pub mod pro;
pub mod rrhf;
pub mod rso;
pub mod simpo;
pub mod slic;
pub mod sppo;
pub mod unlikelihood;

use crate::{Metric, Outcome, Reduced};

/// One response: its learned tokens as the engine scored them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// `log π(y_t | x, y_<t)` of each learned token, nats.
    pub log_probs: Vec<f32>,
    /// Weight of each; 1 unless the data says otherwise.
    pub weights: Vec<f32>,
    /// `Σ_t w_t log π_ref(y_t | x, y_<t)`; 0 where the method has no reference policy.
    pub reference: f64,
    /// What the data, or a reward model, gives it; higher is better.
    pub score: Option<f64>,
}

impl Response {
    /// Sums over the tokens.
    pub fn sequence(&self) -> Sequence {
        let weighted = self.log_probs.iter().zip(&self.weights);
        Sequence {
            log_prob: weighted.map(|(&log_prob, &weight)| f64::from(log_prob) * f64::from(weight)).sum(),
            reference: self.reference,
            length: self.weights.iter().map(|&weight| f64::from(weight)).sum(),
        }
    }
}

/// What most methods need of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sequence {
    /// `Σ_t w_t log π(y_t)`.
    pub log_prob: f64,
    /// `Σ_t w_t log π_ref(y_t)`.
    pub reference: f64,
    /// `Σ_t w_t`: the number of tokens where all weights are 1.
    pub length: f64,
}

impl Sequence {
    /// `log π(y|x) / π_ref(y|x)`.
    pub fn log_ratio(&self) -> f64 {
        self.log_prob - self.reference
    }

    /// `log π(y|x) / |y|`.
    pub fn mean(&self) -> f64 {
        self.log_prob / self.length
    }
}

/// A better and a worse response to one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub chosen: Sequence,
    pub rejected: Sequence,
    /// An answer that is compared with nothing, where the data has one and the method reads it.
    pub reference_answer: Option<Sequence>,
    /// How much better the data says the chosen one is; 0 where it does not.
    pub margin: f64,
}

/// Loss of a pair and its derivatives with respect to the two sums `Sequence::log_prob`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairSlope {
    pub loss: f64,
    pub chosen: f64,
    pub rejected: f64,
}

/// A method that compares two responses.
pub trait PairLoss {
    /// Whether it needs `π_ref`.
    fn uses_reference(&self) -> bool;
    /// `λ` of a term `-λ log π(y_ref)` that keeps [`Pair::reference_answer`] likely; 0 for methods that do not read it.
    fn reference_answer_weight(&self) -> f64 {
        0.0
    }
    /// The reward that the method implies, for the metrics `rewards/*`.
    fn reward(&self, response: &Sequence) -> f64;
    fn loss(&self, pair: &Pair) -> PairSlope;
}

/// Derivative of a loss with respect to the log-probabilities of a response's tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Slope {
    /// With respect to their sum: the same for each, times its weight.
    Sum(f64),
    /// With respect to each.
    Tokens(Vec<f64>),
}

/// Loss of a prompt's responses, what it counts, and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct ListSlope {
    pub loss: Reduced,
    /// One for each response.
    pub slopes: Vec<Slope>,
}

/// A method that looks at all responses to a prompt, best first.
pub trait ListLoss {
    fn uses_reference(&self) -> bool;
    fn reward(&self, response: &Sequence) -> f64;
    /// `pairs` are the (better, worse) indices that count; ties are in none.
    fn loss(&self, responses: &[Response], pairs: &[(usize, usize)]) -> ListSlope;
}

/// A method that takes single responses, good or bad.
pub trait UnpairedLoss {
    fn reward(&self, response: &Sequence) -> f64;
    /// Loss and its derivative with respect to the sum of log-probabilities. `baseline` is the step's, without gradient.
    fn loss(&self, response: &Sequence, desirable: bool, baseline: f64) -> (f64, f64);
}

/// A method that learns from groups of responses to one prompt.
pub enum Method {
    Pairs(Box<dyn PairLoss>),
    List(Box<dyn ListLoss>),
}

impl Method {
    pub fn uses_reference(&self) -> bool {
        match self {
            Self::Pairs(method) => method.uses_reference(),
            Self::List(method) => method.uses_reference(),
        }
    }

    /// Whether [`Group::reference_answer`] is read where there is one.
    pub fn reads_reference_answer(&self) -> bool {
        match self {
            Self::Pairs(method) => method.reference_answer_weight() > 0.0,
            Self::List(_) => false,
        }
    }

    fn reward(&self, response: &Sequence) -> f64 {
        match self {
            Self::Pairs(method) => method.reward(response),
            Self::List(method) => method.reward(response),
        }
    }

    fn group(&self, group: &Group) -> ListSlope {
        match self {
            Self::Pairs(method) => over_pairs(method.as_ref(), group),
            Self::List(method) => method.loss(&group.responses, &group.pairs),
        }
    }
}

/// The responses to one prompt, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub responses: Vec<Response>,
    /// (better, worse) indices that are compared.
    pub pairs: Vec<(usize, usize)>,
    /// An answer that is compared with none of them, such as the one that supervised tuning would have learned.
    pub reference_answer: Option<Response>,
    pub margin: f64,
}

impl Group {
    /// What the engine scores: the responses, then the reference answer.
    fn scored(&self) -> impl Iterator<Item = &Response> {
        self.responses.iter().chain(&self.reference_answer)
    }
}

/// Loss, metrics and derivatives of a micro-batch. `Outcome::d_log_probs` has one entry for each token of each response
/// of each group, then of its reference answer, in that order.
pub fn loss(method: &Method, groups: &[Group]) -> Outcome {
    let mut total = Reduced::default();
    let mut d_log_probs = Vec::new();
    let mut metrics = Metrics::default();
    for group in groups {
        let ListSlope { loss, mut slopes } = method.group(group);
        total += loss;
        // A method on lists says nothing of a reference answer.
        slopes.resize(group.scored().count(), Slope::Sum(0.0));
        for (response, slope) in group.scored().zip(&slopes) {
            match slope {
                Slope::Sum(slope) => {
                    d_log_probs.extend(response.weights.iter().map(|&weight| (slope * f64::from(weight)) as f32));
                }
                Slope::Tokens(slopes) => d_log_probs.extend(slopes.iter().map(|&slope| slope as f32)),
            }
        }
        metrics.add(method, group);
    }
    Outcome { loss: total, metrics: metrics.finish(), d_log_probs, ..Outcome::default() }
}

/// Loss, metrics and derivatives of single responses, each good (`true`) or bad. `Outcome::d_log_probs` has one entry
/// for each token of each response.
pub fn unpaired_loss(method: &dyn UnpairedLoss, responses: &[(Response, bool)], baseline: f64) -> Outcome {
    let mut total = Reduced::default();
    let mut d_log_probs = Vec::new();
    // Reward and log-probability of the two classes, good first.
    let mut sums = [[Reduced::default(); 2]; 2];
    for (response, desirable) in responses {
        let sequence = response.sequence();
        let (loss, slope) = method.loss(&sequence, *desirable, baseline);
        total += Reduced::new(loss, 1.0);
        d_log_probs.extend(response.weights.iter().map(|&weight| (slope * f64::from(weight)) as f32));
        let class = &mut sums[usize::from(!desirable)];
        class[0] += Reduced::new(method.reward(&sequence), 1.0);
        class[1] += Reduced::new(sequence.log_prob, 1.0);
    }
    let metrics = [
        ("rewards/chosen", sums[0][0]),
        ("rewards/rejected", sums[1][0]),
        ("logps/chosen", sums[0][1]),
        ("logps/rejected", sums[1][1]),
    ];
    let metrics = metrics.into_iter().map(|(name, value)| Metric::new(name, value)).collect();
    Outcome { loss: total, metrics, d_log_probs, ..Outcome::default() }
}

/// The mean over a prompt's pairs, so that each prompt counts once however many responses it has (Ouyang 2022, eq. 1,
/// divides by `C(K, 2)` for the same reason).
fn over_pairs(method: &dyn PairLoss, group: &Group) -> ListSlope {
    let sequences: Vec<Sequence> = group.responses.iter().map(Response::sequence).collect();
    let reference_answer = group.reference_answer.as_ref().map(Response::sequence);
    let mut slopes = vec![0.0; group.scored().count()];
    let mut sum = 0.0;
    let share = 1.0 / group.pairs.len().max(1) as f64;
    for &(better, worse) in &group.pairs {
        let (chosen, rejected) = (sequences[better], sequences[worse]);
        let slope = method.loss(&Pair { chosen, rejected, reference_answer, margin: group.margin });
        sum += slope.loss * share;
        slopes[better] += slope.chosen * share;
        slopes[worse] += slope.rejected * share;
        if let Some(own) = slopes.get_mut(sequences.len()) {
            *own -= method.reference_answer_weight() * share;
        }
    }
    let count = if group.pairs.is_empty() { 0.0 } else { 1.0 };
    ListSlope { loss: Reduced::new(sum, count), slopes: slopes.into_iter().map(Slope::Sum).collect() }
}

/// The figures that people know from other trainers, each a mean over pairs.
#[derive(Default)]
struct Metrics {
    pairs: f64,
    chosen_reward: f64,
    rejected_reward: f64,
    accurate: f64,
    chosen_log_prob: f64,
    rejected_log_prob: f64,
    /// Over the reference answers that there are.
    reference_log_prob: Reduced,
    /// Over the groups of a method that reads them.
    has_reference_answer: Reduced,
}

impl Metrics {
    fn add(&mut self, method: &Method, group: &Group) {
        if method.reads_reference_answer() {
            let own = group.reference_answer.as_ref();
            self.has_reference_answer += Reduced::new(f64::from(u8::from(own.is_some())), 1.0);
            if let Some(answer) = own {
                self.reference_log_prob += Reduced::new(answer.sequence().log_prob, 1.0);
            }
        }
        for &(better, worse) in &group.pairs {
            let (chosen, rejected) = (group.responses[better].sequence(), group.responses[worse].sequence());
            let (up, down) = (method.reward(&chosen), method.reward(&rejected));
            self.pairs += 1.0;
            self.chosen_reward += up;
            self.rejected_reward += down;
            self.accurate += f64::from(u8::from(up > down));
            self.chosen_log_prob += chosen.log_prob;
            self.rejected_log_prob += rejected.log_prob;
        }
    }

    fn finish(self) -> Vec<Metric> {
        let metric = |name, sum| Metric::new(name, Reduced::new(sum, self.pairs));
        vec![
            metric("rewards/chosen", self.chosen_reward),
            metric("rewards/rejected", self.rejected_reward),
            metric("rewards/margins", self.chosen_reward - self.rejected_reward),
            metric("rewards/accuracies", self.accurate),
            metric("logps/chosen", self.chosen_log_prob),
            metric("logps/rejected", self.rejected_log_prob),
            Metric::new("logps/reference_answer", self.reference_log_prob),
            Metric::new("reference_answers", self.has_reference_answer),
        ]
    }
}

/// `σ(x) = 1 / (1 + e⁻ˣ)`.
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// `log σ(x)`, without overflow on either side.
pub(crate) fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// `-log σ(x)` and its derivative.
pub(crate) fn logistic(x: f64) -> (f64, f64) {
    (-log_sigmoid(x), -sigmoid(-x))
}

/// `max(0, x)` and its derivative, which is 0 at the corner.
pub(crate) fn hinge(x: f64) -> (f64, f64) {
    if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests;
