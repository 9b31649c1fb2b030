//! The loss of a preference stage: its settings with the published defaults, and the method made of them.

use std::collections::BTreeMap;

use camelid_objectives::preference::{
    Method,
    apo::{self, Apo},
    bco::Bco,
    cpo::Cpo,
    discopop::DiscoPop,
    dpo::{Dpo, Smoothing},
    exo::Exo,
    f_dpo::{Divergence, FDpo},
    ipo::Ipo,
    kto::Kto,
    nca::Nca,
    orpo::Orpo,
    preferred::Preferred,
    pro::Pro,
    rrhf::Rrhf,
    rso::{self, Rso},
    simpo::SimPo,
    slic::{self, Slic},
    sppo::Sppo,
    unlikelihood::Unlikelihood,
};
use camelid_records::PairChoice;
use camelid_train::UnpairedMethod;
use serde::Serialize;

use super::RecipeError;
use super::spec::StageSpec;

/// A loss by the name that recipes use.
struct Loss {
    name: &'static str,
    /// Its numbers and their defaults: the paper's, or the authors' code where the paper leaves one open.
    settings: &'static [(&'static str, f64)],
    build: fn(&LossPlan) -> Built,
}

/// What a stage's task is made of.
pub(crate) enum Built {
    Groups(Method),
    Single(UnpairedMethod),
}

/// A loss with every setting decided.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LossPlan {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    settings: BTreeMap<&'static str, f64>,
    /// Which responses of a ranked list are compared.
    pub(crate) pairs: PairChoice,
    #[serde(skip)]
    build: fn(&LossPlan) -> Built,
}

const LENGTH_NORMALISED: &str = "length_normalised";

fn pairs_of(method: impl camelid_objectives::preference::PairLoss + 'static) -> Built {
    Built::Groups(Method::Pairs(Box::new(method)))
}

fn list(method: impl camelid_objectives::preference::ListLoss + 'static) -> Built {
    Built::Groups(Method::List(Box::new(method)))
}

fn dpo(plan: &LossPlan, smoothing: Smoothing) -> Built {
    pairs_of(Dpo {
        beta: plan.get("beta"),
        smoothing,
        length_normalised: plan.get(LENGTH_NORMALISED) != 0.0,
        sft_weight: plan.get("sft_weight"),
        margin_weight: plan.get("margin_weight"),
    })
}

fn slic(plan: &LossPlan, form: slic::Form) -> Built {
    pairs_of(Slic { form, delta: plan.get("delta"), lambda: plan.get("lambda") })
}

fn apo(plan: &LossPlan, form: apo::Form) -> Built {
    pairs_of(Apo { form, beta: plan.get("beta") })
}

fn rso(plan: &LossPlan, form: rso::Form) -> Built {
    pairs_of(Rso { form, gamma: plan.get("gamma") })
}

fn f_dpo(plan: &LossPlan, divergence: Divergence) -> Built {
    pairs_of(FDpo { beta: plan.get("beta"), divergence })
}

const DPO: &[(&str, f64)] =
    &[("beta", 0.1), ("label_smoothing", 0.0), (LENGTH_NORMALISED, 0.0), ("sft_weight", 0.0), ("margin_weight", 0.0)];
const SLIC: &[(&str, f64)] = &[("delta", 1.0), ("lambda", 0.1)];
const RSO: &[(&str, f64)] = &[("gamma", 0.05)];
const BETA: &[(&str, f64)] = &[("beta", 0.1)];

/// Every loss that a preference stage can have.
const LOSSES: &[Loss] = &[
    Loss {
        name: "dpo",
        settings: DPO,
        build: |plan| {
            let share = plan.get("label_smoothing");
            dpo(plan, if share == 0.0 { Smoothing::None } else { Smoothing::Conservative(share) })
        },
    },
    Loss {
        name: "robust-dpo",
        settings: &[
            ("beta", 0.1),
            ("label_smoothing", 0.1),
            (LENGTH_NORMALISED, 0.0),
            ("sft_weight", 0.0),
            ("margin_weight", 0.0),
        ],
        build: |plan| dpo(plan, Smoothing::Robust(plan.get("label_smoothing"))),
    },
    Loss {
        name: "ipo",
        settings: &[("tau", 0.1), (LENGTH_NORMALISED, 0.0)],
        build: |plan| pairs_of(Ipo { tau: plan.get("tau"), length_normalised: plan.get(LENGTH_NORMALISED) != 0.0 }),
    },
    Loss { name: "slic", settings: SLIC, build: |plan| slic(plan, slic::Form::Hinge) },
    Loss { name: "slic-sigmoid", settings: SLIC, build: |plan| slic(plan, slic::Form::Sigmoid) },
    Loss { name: "rso", settings: RSO, build: |plan| rso(plan, rso::Form::SigmoidNorm) },
    Loss { name: "rso-hinge", settings: RSO, build: |plan| rso(plan, rso::Form::Hinge) },
    Loss { name: "rso-hinge-norm", settings: RSO, build: |plan| rso(plan, rso::Form::HingeNorm) },
    Loss {
        name: "simpo",
        settings: &[("beta", 2.0), ("gamma", 1.0)],
        build: |plan| pairs_of(SimPo { beta: plan.get("beta"), gamma: plan.get("gamma") }),
    },
    Loss {
        name: "cpo",
        settings: &[("beta", 0.1), ("alpha", 1.0)],
        build: |plan| pairs_of(Cpo { beta: plan.get("beta"), alpha: plan.get("alpha") }),
    },
    Loss { name: "orpo", settings: &[("lambda", 0.1)], build: |plan| pairs_of(Orpo { lambda: plan.get("lambda") }) },
    Loss { name: "f-dpo-forward-kl", settings: BETA, build: |plan| f_dpo(plan, Divergence::ForwardKl) },
    Loss { name: "f-dpo-jensen-shannon", settings: BETA, build: |plan| f_dpo(plan, Divergence::JensenShannon) },
    Loss {
        name: "f-dpo-alpha",
        settings: &[("beta", 0.1), ("alpha", 0.5)],
        build: |plan| f_dpo(plan, Divergence::Alpha(plan.get("alpha"))),
    },
    Loss {
        name: "exo",
        settings: &[("beta", 0.1), ("label_smoothing", 0.001)],
        build: |plan| pairs_of(Exo { beta: plan.get("beta"), label_smoothing: plan.get("label_smoothing") }),
    },
    Loss { name: "nca", settings: BETA, build: |plan| pairs_of(Nca { beta: plan.get("beta") }) },
    Loss { name: "sppo", settings: BETA, build: |plan| pairs_of(Sppo { beta: plan.get("beta") }) },
    Loss { name: "apo-zero", settings: BETA, build: |plan| apo(plan, apo::Form::Zero) },
    Loss { name: "apo-down", settings: BETA, build: |plan| apo(plan, apo::Form::Down) },
    Loss {
        name: "discopop",
        settings: &[("beta", 0.05), ("tau", 0.05)],
        build: |plan| pairs_of(DiscoPop { beta: plan.get("beta"), tau: plan.get("tau") }),
    },
    Loss {
        name: "rrhf",
        settings: &[("rank_weight", 1.0)],
        build: |plan| list(Rrhf { rank_weight: plan.get("rank_weight") }),
    },
    Loss {
        name: "pro",
        settings: &[("sft_weight", 0.05)],
        build: |plan| list(Pro { sft_weight: plan.get("sft_weight") }),
    },
    Loss { name: "preferred", settings: &[], build: |_| list(Preferred) },
    Loss {
        name: "unlikelihood",
        settings: &[("alpha", 0.1)],
        build: |plan| list(Unlikelihood { alpha: plan.get("alpha") }),
    },
    Loss {
        name: "kto",
        settings: &[("beta", 0.1), ("desirable_weight", 1.0), ("undesirable_weight", 1.0)],
        build: |plan| {
            Built::Single(UnpairedMethod::Kto(Kto {
                beta: plan.get("beta"),
                desirable_weight: plan.get("desirable_weight"),
                undesirable_weight: plan.get("undesirable_weight"),
            }))
        },
    },
    Loss {
        name: "bco",
        settings: BETA,
        build: |plan| Built::Single(UnpairedMethod::Bco(Bco { beta: plan.get("beta") }, SHIFT_DECAY)),
    },
];

/// Of BCO's moving average, as in the authors' code.
const SHIFT_DECAY: f64 = 0.9;

impl LossPlan {
    fn get(&self, key: &str) -> f64 {
        // `resolve_loss` has filled in every setting of the loss.
        self.settings.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn build(&self) -> Built {
        (self.build)(self)
    }

    /// Whether it takes single responses rather than groups.
    pub(crate) fn is_unpaired(&self) -> bool {
        matches!(self.build(), Built::Single(_))
    }

    pub(crate) fn uses_reference(&self) -> bool {
        match self.build() {
            Built::Groups(method) => method.uses_reference(),
            Built::Single(_) => true,
        }
    }

    /// Whether a prompt's reference answer is read where the data has one.
    pub(crate) fn reads_reference_answer(&self) -> bool {
        match self.build() {
            Built::Groups(method) => method.reads_reference_answer(),
            Built::Single(_) => false,
        }
    }

    /// Loss at step 0, where it is known without the data.
    pub(crate) fn at_start(&self) -> Option<f64> {
        let plain = self
            .settings
            .iter()
            .all(|(name, value)| *value == 0.0 || !["label_smoothing", "sft_weight", "margin_weight"].contains(name));
        (["dpo", "rso", "f-dpo-forward-kl", "f-dpo-jensen-shannon", "f-dpo-alpha"].contains(&self.name) && plain)
            .then_some(std::f64::consts::LN_2)
    }
}

/// The settings as the recipe has them, by name.
fn given(spec: &StageSpec) -> Vec<(&'static str, Option<f64>)> {
    vec![
        ("beta", spec.beta),
        ("label_smoothing", spec.label_smoothing),
        (LENGTH_NORMALISED, spec.length_normalised.map(|on| f64::from(u8::from(on)))),
        ("sft_weight", spec.sft_weight),
        ("margin_weight", spec.margin_weight),
        ("tau", spec.tau),
        ("delta", spec.delta),
        ("lambda", spec.lambda),
        ("gamma", spec.gamma),
        ("alpha", spec.alpha),
        ("rank_weight", spec.rank_weight),
        ("desirable_weight", spec.desirable_weight),
        ("undesirable_weight", spec.undesirable_weight),
    ]
}

/// Reads a preference stage's loss; a setting that its loss does not have is an error.
pub(crate) fn resolve_loss(place: &str, spec: &StageSpec) -> Result<LossPlan, RecipeError> {
    let error = |what: String, fix: String| Err(RecipeError::new(place.to_owned(), what, fix));
    let name = spec.loss.as_deref().unwrap_or("dpo");
    let names: Vec<&str> = LOSSES.iter().map(|loss| loss.name).collect();
    let Some(loss) = LOSSES.iter().find(|loss| loss.name == name) else {
        let likeness = |known: &&&str| strsim::jaro_winkler(name, known);
        let near = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|n| likeness(n) > 0.8);
        let fix =
            near.map_or_else(|| format!("use one of {}", names.join(", ")), |near| format!("did you mean {near:?}?"));
        return error(format!("`loss` is {name:?}, which does not exist"), fix);
    };
    let mut settings: BTreeMap<&'static str, f64> = loss.settings.iter().copied().collect();
    for (key, value) in given(spec) {
        let Some(value) = value else { continue };
        if !settings.contains_key(key) {
            let known: Vec<&str> = loss.settings.iter().map(|(name, _)| *name).collect();
            let has = if known.is_empty() { "no settings".to_owned() } else { known.join(", ") };
            return error(format!("`{key}` is no setting of {name}"), format!("remove it; {name} has {has}"));
        }
        let (holds, range) = match key {
            "beta" | "tau" | "gamma" | "delta" if value > 0.0 && value.is_finite() => (true, ""),
            "beta" | "tau" | "gamma" | "delta" => (false, "a number above 0"),
            "label_smoothing" if name == "exo" => (value > 0.0 && value < 0.5, "a share above 0 and below 0.5"),
            "label_smoothing" => ((0.0..0.5).contains(&value), "a share from 0 to below 0.5"),
            "alpha" if name == "f-dpo-alpha" => (value > 0.0 && value < 1.0, "a number between 0 and 1"),
            _ => (value >= 0.0 && value.is_finite(), "a number from 0 up"),
        };
        if !holds {
            return error(format!("`{key}` is {value}"), format!("use {range}"));
        }
        settings.insert(key, value);
    }
    let pairs = spec.pairs.unwrap_or(PairChoice::All);
    if spec.centring.is_some() {
        return error(format!("`centring` is no setting of {name}"), "remove it; it belongs to reward stages".into());
    }
    let plan = LossPlan { name: loss.name, settings, pairs, build: loss.build };
    if spec.pairs.is_some() && plan.is_unpaired() {
        return error(format!("`pairs` is set but {name} takes single responses"), "remove it".into());
    }
    Ok(plan)
}

/// What a recipe says that only a stage on preferences reads.
pub(crate) fn preference_keys(spec: &StageSpec) -> Vec<&'static str> {
    let named = [("loss", spec.loss.is_some()), ("pairs", spec.pairs.is_some()), ("centring", spec.centring.is_some())];
    let numbers = given(spec).into_iter().map(|(name, value)| (name, value.is_some()));
    named.into_iter().chain(numbers).filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}
