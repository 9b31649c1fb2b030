//! The methods, each with the settings that its page names or that suit log-ratios of a few nats; two settings where that of the
//! page cannot work here, to show it.

use camelid_objectives::preference::{
    ListLoss, Method, PairLoss,
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
use camelid_train::{PreferenceTask, Reference, ReferenceSource, Task, UnpairedMethod, UnpairedTask};

/// What a method is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Ranked,
    Single,
}

pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) task: fn() -> Box<dyn Task>,
}

fn reference() -> Reference {
    Reference::new(ReferenceSource::AdapterOff, String::new())
}

fn pairs(loss: impl PairLoss + 'static) -> Box<dyn Task> {
    Box::new(PreferenceTask { method: Method::Pairs(Box::new(loss)), reference: reference() })
}

fn list(loss: impl ListLoss + 'static) -> Box<dyn Task> {
    Box::new(PreferenceTask { method: Method::List(Box::new(loss)), reference: reference() })
}

const fn ranked(name: &'static str, task: fn() -> Box<dyn Task>) -> Entry {
    Entry { name, takes: Takes::Ranked, task }
}

const fn single(name: &'static str, task: fn() -> Box<dyn Task>) -> Entry {
    Entry { name, takes: Takes::Single, task }
}

pub(crate) const METHODS: &[Entry] = &[
    ranked("dpo", || pairs(Dpo::new(0.1))),
    ranked("conservative dpo", || pairs(Dpo { smoothing: Smoothing::Conservative(0.1), ..Dpo::new(0.1) })),
    ranked("robust-dpo", || pairs(Dpo { smoothing: Smoothing::Robust(0.1), ..Dpo::new(0.1) })),
    ranked("length-normalised dpo", || pairs(Dpo { length_normalised: true, ..Dpo::new(1.0) })),
    ranked("dpo with likelihood", || pairs(Dpo { sft_weight: 0.2, ..Dpo::new(0.1) })),
    ranked("ipo", || pairs(Ipo { tau: 0.1, length_normalised: false })),
    ranked("f-dpo-forward-kl", || pairs(FDpo { beta: 0.1, divergence: Divergence::ForwardKl })),
    ranked("f-dpo-jensen-shannon", || pairs(FDpo { beta: 0.1, divergence: Divergence::JensenShannon })),
    ranked("f-dpo-alpha", || pairs(FDpo { beta: 0.1, divergence: Divergence::Alpha(0.5) })),
    ranked("exo", || pairs(Exo { beta: 0.1, label_smoothing: 0.001 })),
    ranked("nca", || pairs(Nca { beta: 0.1 })),
    ranked("sppo", || pairs(Sppo { beta: 0.1 })),
    ranked("apo-zero", || pairs(Apo { form: apo::Form::Zero, beta: 0.1 })),
    ranked("apo-down", || pairs(Apo { form: apo::Form::Down, beta: 0.1 })),
    ranked("discopop, β 0.05", || pairs(DiscoPop { beta: 0.05, tau: 0.05 })),
    ranked("discopop, β 0.5", || pairs(DiscoPop { beta: 0.5, tau: 0.05 })),
    ranked("rso", || pairs(Rso { form: rso::Form::SigmoidNorm, gamma: 0.05 })),
    ranked("rso-hinge", || pairs(Rso { form: rso::Form::Hinge, gamma: 0.05 })),
    ranked("rso-hinge-norm", || pairs(Rso { form: rso::Form::HingeNorm, gamma: 0.05 })),
    ranked("slic, δ 1", || pairs(Slic { form: slic::Form::Hinge, delta: 1.0, lambda: 0.1 })),
    ranked("slic, δ 20", || pairs(Slic { form: slic::Form::Hinge, delta: 20.0, lambda: 0.1 })),
    ranked("slic-sigmoid, δ 20", || pairs(Slic { form: slic::Form::Sigmoid, delta: 20.0, lambda: 0.1 })),
    ranked("simpo", || pairs(SimPo { beta: 2.0, gamma: 1.0 })),
    ranked("cpo", || pairs(Cpo { beta: 0.1, alpha: 1.0 })),
    ranked("orpo", || pairs(Orpo { lambda: 0.1 })),
    ranked("rrhf", || list(Rrhf { rank_weight: 1.0 })),
    ranked("pro", || list(Pro { sft_weight: 0.05 })),
    ranked("unlikelihood", || list(Unlikelihood { alpha: 0.1 })),
    ranked("preferred", || list(Preferred)),
    single("kto", || {
        let kto = Kto { beta: 0.1, desirable_weight: 1.0, undesirable_weight: 1.0 };
        Box::new(UnpairedTask::new(UnpairedMethod::Kto(kto), reference()))
    }),
    single("bco", || Box::new(UnpairedTask::new(UnpairedMethod::Bco(Bco { beta: 0.1 }, 0.9), reference()))),
];
