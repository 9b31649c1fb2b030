//! A `[[stage]]` as it is written: its kind says which keys it may have.
//!
//! Stages that tune share one table of keys; each kind of stage that trains nothing has a table of its own.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::spec::{StageKind, StageSpec};
use crate::actions::{ActionKind, ActionSpec};

/// A stage.
#[derive(Debug)]
pub(crate) enum StageEntry {
    Tuning(Box<StageSpec>),
    Action(ActionSpec),
}

/// The key that comes before all others; `parse` sees to it.
pub(crate) const KIND: &str = "kind";

enum Kind {
    Tuning(StageKind),
    Action(ActionKind),
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Kind;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the kind of a stage, such as \"sft\"")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Kind, E> {
                let tuning = StageKind::deserialize(StrDeserializer::<E>::new(name));
                let action = || ActionKind::deserialize(StrDeserializer::<E>::new(name));
                tuning.map(Kind::Tuning).or_else(|_| action().map(Kind::Action)).map_err(|_| {
                    let known =
                        StageKind::ALL.iter().map(|kind| kind.name()).chain(ActionKind::ALL.map(ActionKind::name));
                    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
                    E::custom(format!("unknown variant `{name}`, expected one of {}", known.join(", ")))
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl<'de> Deserialize<'de> for StageEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = StageEntry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table with `kind`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StageEntry, A::Error> {
                if map.next_key::<String>()?.as_deref() != Some(KIND) {
                    return Err(A::Error::missing_field(KIND));
                }
                match map.next_value()? {
                    Kind::Tuning(kind) => {
                        let mut spec = StageSpec::deserialize(MapAccessDeserializer::new(map))?;
                        spec.kind = kind;
                        Ok(StageEntry::Tuning(Box::new(spec)))
                    }
                    Kind::Action(kind) => kind.read(map).map(StageEntry::Action),
                }
            }
        }
        deserializer.deserialize_map(Table)
    }
}
