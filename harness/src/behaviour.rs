//! How the server of a run behaves: honestly, or by one of the cheats of `si_testing`.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use si_testing::cheats::CheatName;

/// What stands before a cheat's name.
const CHEAT: &str = "cheat:";

/// How a server behaves: `honest`, or `cheat:NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Behaviour {
    /// It follows the protocol.
    #[default]
    Honest,
    /// It does not.
    Cheat(CheatName),
}

impl Behaviour {
    /// Whether it follows the protocol.
    pub(crate) fn is_honest(&self) -> bool {
        *self == Self::Honest
    }

    /// Whether it changes messages, so that the client may end with an error that accuses nobody.
    pub(crate) fn breaks_messages(&self) -> bool {
        matches!(self, Self::Cheat(CheatName::WrongRlwe(_) | CheatName::WrongOt(_)))
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honest => f.write_str("honest"),
            Self::Cheat(name) => write!(f, "{CHEAT}{name}"),
        }
    }
}

impl TryFrom<String> for Behaviour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix(CHEAT) {
            Some(name) => name.parse().map(Self::Cheat),
            None if text == "honest" => Ok(Self::Honest),
            None => Err(format!("server '{text}': write \"honest\" or \"{CHEAT}NAME\"")),
        }
    }
}

impl From<Behaviour> for String {
    fn from(b: Behaviour) -> Self {
        b.to_string()
    }
}

/// The servers of an experiment: one, or a list, which is a dimension of its matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers(pub(crate) Vec<Behaviour>);

impl Default for Servers {
    fn default() -> Self {
        Self(vec![Behaviour::Honest])
    }
}

impl Serialize for Servers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Servers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"honest\", \"{CHEAT}NAME\" or a list of these")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Servers, E> {
                Behaviour::try_from(text.to_owned()).map(|b| Servers(vec![b])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Servers, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Servers(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct File {
        #[serde(default)]
        server: Servers,
    }

    fn read(text: &str) -> Result<Vec<String>, String> {
        let file: File = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let again: File = toml::from_str(&toml::to_string(&file).unwrap()).unwrap();
        assert_eq!(again.server, file.server);
        Ok(file.server.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_or_many_servers() {
        assert_eq!(read("").unwrap(), ["honest"]);
        assert_eq!(read("server = \"cheat:flip-label:1\"").unwrap(), ["cheat:flip-label:1"]);
        let many = read("server = [\"honest\", \"cheat:other-model=quantised2\"]").unwrap();
        assert_eq!(many, ["honest", "cheat:other-model=quantised2:all"]);
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for (text, part) in [
            ("server = \"cheating\"", "write \"honest\" or"),
            ("server = \"cheat:x\"", "unknown cheat 'x'"),
            ("server = [\"honest\", 3]", "invalid type"),
            ("server = 3", "or a list of these"),
        ] {
            let e = read(text).unwrap_err();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
