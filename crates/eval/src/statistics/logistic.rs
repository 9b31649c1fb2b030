//! Logistic regression on a handful of features.
//!
//! **Formula.** Maximises `Σ w_i (y_i log σ(x_i·θ) + (1 - y_i) log σ(-x_i·θ))`, with targets anywhere in `[0, 1]`, by
//! Newton's steps `(Xᵀ W X)⁻¹ Xᵀ(y - p)`, halved while they lead down. There is no penalty and no intercept but one
//! given as a feature.
//!
//! **Source.** McCullagh and Nelder 1989, chapter 4.

const MOST_STEPS: usize = 100;
const MOST_HALVINGS: i32 = 40;
/// A step this small, relative to the coefficients, is the last: near the top each squares the error of the one before.
const LAST_STEP: f64 = 1e-6;
/// Coefficients beyond this say that a feature separates the targets and there is no maximum.
const LARGEST: f64 = 1e3;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub features: Vec<f64>,
    /// In `[0, 1]`.
    pub target: f64,
    pub weight: f64,
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `log σ(x)`.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn linear(features: &[f64], coefficients: &[f64]) -> f64 {
    features.iter().zip(coefficients).map(|(x, theta)| x * theta).sum()
}

fn log_likelihood(observations: &[Observation], coefficients: &[f64]) -> f64 {
    let of = |observation: &Observation| {
        let logit = linear(&observation.features, coefficients);
        let [yes, no] = [log_sigmoid(logit), log_sigmoid(-logit)];
        observation.weight * (observation.target * yes + (1.0 - observation.target) * no)
    };
    observations.iter().map(of).sum()
}

/// The coefficients. `None` where there is no single maximum: features that depend on each other, targets that they
/// separate, observations of different widths, or values that are not numbers.
pub fn fit(observations: &[Observation]) -> Option<Vec<f64>> {
    let width = observations.first()?.features.len();
    let valid = |observation: &Observation| {
        observation.features.len() == width
            && observation.features.iter().all(|x| x.is_finite())
            && (0.0..=1.0).contains(&observation.target)
            && observation.weight >= 0.0
            && observation.weight.is_finite()
    };
    if !observations.iter().all(valid) {
        return None;
    }
    let mut coefficients = vec![0.0; width];
    let mut likelihood = log_likelihood(observations, &coefficients);
    for _ in 0..MOST_STEPS {
        let mut gradient = vec![0.0; width];
        let mut curvature = vec![vec![0.0; width]; width];
        for Observation { features, target, weight } in observations {
            let chance = sigmoid(linear(features, &coefficients));
            for (row, x) in features.iter().enumerate() {
                gradient[row] += weight * (target - chance) * x;
                for (column, other) in features.iter().enumerate() {
                    curvature[row][column] += weight * chance * (1.0 - chance) * x * other;
                }
            }
        }
        let step = solve(curvature, gradient)?;
        let moved = |share: f64| -> Vec<f64> {
            coefficients.iter().zip(&step).map(|(theta, step)| theta + share * step).collect()
        };
        let sizes = step.iter().zip(&coefficients).map(|(step, theta)| step.abs() / theta.abs().max(1.0));
        if sizes.fold(0.0, f64::max) < LAST_STEP {
            return Some(moved(1.0));
        }
        let shorter = (0..MOST_HALVINGS).map(|halvings| moved(0.5_f64.powi(halvings)));
        let better =
            shorter.map(|next| (log_likelihood(observations, &next), next)).find(|(here, _)| *here >= likelihood);
        (likelihood, coefficients) = better?;
        if coefficients.iter().any(|theta| theta.abs() > LARGEST) {
            return None;
        }
    }
    None
}

/// `A x = b` for a symmetric positive definite `A`, by Cholesky's factors; `None` if it is not.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    let scale = (0..n).map(|i| a[i][i]).fold(0.0, f64::max);
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            let rest = a[i][j] - sum;
            if i == j && (rest.is_nan() || rest <= 1e-12 * scale) {
                return None;
            }
            a[i][j] = if i == j { rest.sqrt() } else { rest / a[j][j] };
        }
    }
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(features: &[f64], target: f64) -> Observation {
        Observation { features: features.to_vec(), target, weight: 1.0 }
    }

    #[test]
    fn a_constant_is_the_logit_of_the_mean() {
        let targets = [1.0, 0.0, 0.5, 1.0, 0.25];
        let fitted = fit(&targets.map(|target| observation(&[1.0], target))).unwrap();
        assert!((fitted[0] - (0.55_f64 / 0.45).ln()).abs() < 1e-9);
    }

    #[test]
    fn exact_chances_give_back_their_coefficients() {
        let truth = [0.7, -1.3, 0.2];
        let rows = (0..40).map(|i| {
            let features = [1.0, f64::from(i % 7) / 3.0 - 1.0, f64::from(i * i % 11) / 5.0 - 1.0];
            observation(&features, sigmoid(linear(&features, &truth)))
        });
        for (fitted, truth) in fit(&rows.collect::<Vec<_>>()).unwrap().into_iter().zip(truth) {
            assert!((fitted - truth).abs() < 1e-8);
        }
    }

    #[test]
    fn no_maximum_no_fit() {
        let separated: Vec<Observation> =
            (0..6).map(|i| observation(&[f64::from(i) - 2.5], f64::from(u8::from(i > 2)))).collect();
        assert_eq!(fit(&separated), None);
        let dependent: Vec<Observation> = (0..6).map(|i| observation(&[1.0, 2.0], f64::from(i % 2))).collect();
        assert_eq!(fit(&dependent), None);
        assert_eq!(fit(&[observation(&[f64::NAN], 0.5)]), None);
        assert_eq!(fit(&[observation(&[1.0], 0.5), observation(&[1.0, 2.0], 0.5)]), None);
        assert_eq!(fit(&[]), None);
    }
}
