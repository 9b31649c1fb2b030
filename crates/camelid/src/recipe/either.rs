//! Keys that take one thing or a list, a path or a table.
//!
//! Serde's untagged enums would do, but answer every mistake with "did not match any variant"; these visitors look at
//! the value's type first, so that the error inside a table names the key that is wrong.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use camelid_records::Role;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::spec::{LearnPolicy, LearnSpec, Source, SourceTable, Sources};

/// A table of settings that its name may stand for.
pub(crate) trait ByName: Sized {
    type Name;
    /// What error messages ask for.
    const EXPECTED: &str;

    /// The table with nothing but its name.
    fn named(name: Self::Name) -> Self;
}

/// A name, or a table that says more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameOrTable<T>(pub(crate) T);

impl<'de, T: ByName + Deserialize<'de>> Deserialize<'de> for NameOrTable<T>
where
    T::Name: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrMap<T>(PhantomData<T>);
        impl<'de, T: ByName + Deserialize<'de>> Visitor<'de> for NameOrMap<T>
        where
            T::Name: Deserialize<'de>,
        {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
                T::Name::deserialize(StrDeserializer::new(name)).map(T::named)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(NameOrMap(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrTable;
        impl<'de> Visitor<'de> for PathOrTable {
            type Value = Source;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a path, or a table with `path`")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<Source, E> {
                Ok(Source::Path(PathBuf::from(path)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                SourceTable::deserialize(MapAccessDeserializer::new(map)).map(Source::Table)
            }
        }
        deserializer.deserialize_any(PathOrTable)
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;
        impl<'de> Visitor<'de> for OneOrList {
            type Value = Sources;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a path, a table with `path`, or a list of them")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<Sources, E> {
                Ok(Sources::One(Source::Path(PathBuf::from(path))))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sources, A::Error> {
                SourceTable::deserialize(MapAccessDeserializer::new(map)).map(Source::Table).map(Sources::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Sources, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Sources::List)
            }
        }
        deserializer.deserialize_any(OneOrList)
    }
}

impl<'de> Deserialize<'de> for LearnSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PolicyOrRoles;
        impl<'de> Visitor<'de> for PolicyOrRoles {
            type Value = LearnSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"assistant\", \"last-assistant\", \"everything\", or a list of roles")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<LearnSpec, E> {
                LearnPolicy::deserialize(StrDeserializer::new(name)).map(LearnSpec::Policy)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<LearnSpec, A::Error> {
                Vec::<Role>::deserialize(SeqAccessDeserializer::new(list)).map(LearnSpec::Roles)
            }
        }
        deserializer.deserialize_any(PolicyOrRoles)
    }
}
