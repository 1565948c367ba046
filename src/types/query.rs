//! Which events are asked for.

use std::fmt;

/// Selects events by their types and tags. A type is the value of a header `type`, a tag that of a header `tag`; an
/// event may have several tags.
///
/// A query is a set of alternatives: an event matches if it matches one of them. An alternative names types, of which the event must have one,
/// and tags, of which it must have all.
///
/// ```
/// use annals::Query;
/// // Whatever tells how many seats of course 7 are taken, or what Alice has subscribed to.
/// let seats = Query::tag("course:7").types(["course-defined", "subscribed", "unsubscribed"]);
/// let subscriptions = Query::tag("student:alice").types(["subscribed", "unsubscribed"]);
/// let decides = seats.or(subscriptions);
/// # assert_eq!(decides.alternatives(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Query {
    alternatives: Vec<Alternative>,
}

/// Types, or tags.
pub(crate) type Words<'a> = &'a [Box<[u8]>];

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Alternative {
    /// One of them; any where it names none. Of a list without a type there is no event.
    types: Option<Vec<Box<[u8]>>>,
    tags: Vec<Box<[u8]>>,
}

impl Query {
    /// Selects every event.
    pub fn all() -> Self {
        Self { alternatives: vec![Alternative::default()] }
    }

    /// Selects events with this tag.
    pub fn tag(tag: impl AsRef<[u8]>) -> Self {
        Self::all().and_tag(tag)
    }

    /// Selects events of this type.
    pub fn of_type(name: impl AsRef<[u8]>) -> Self {
        Self::all().types([name])
    }

    /// Restricts each alternative to events that have this tag too.
    #[must_use]
    pub fn and_tag(mut self, tag: impl AsRef<[u8]>) -> Self {
        self.alternatives.iter_mut().for_each(|one| one.tags.push(tag.as_ref().into()));
        self
    }

    /// Restricts each alternative to events of one of these types; with no types, to no event. It replaces types that were named before.
    #[must_use]
    pub fn types<T: AsRef<[u8]>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let types: Vec<Box<[u8]>> = types.into_iter().map(|one| one.as_ref().into()).collect();
        self.alternatives.iter_mut().for_each(|one| one.types = Some(types.clone()));
        self
    }

    /// Adds the alternatives of the other query.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.alternatives.extend(other.alternatives);
        self
    }

    /// Returns the number of alternatives.
    pub fn alternatives(&self) -> usize {
        self.alternatives.len()
    }

    /// Whether it asks for events that no index knows: an alternative names nothing.
    pub(crate) fn is_for_all(&self) -> bool {
        self.alternatives.iter().any(|one| one.types.is_none() && one.tags.is_empty())
    }

    /// The types, none for any, and the tags of each alternative that asks for some event.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Words<'_>, Words<'_>)> {
        let of_some = |one: &&Alternative| one.types.as_ref().is_none_or(|types| !types.is_empty());
        let of_some = self.alternatives.iter().filter(of_some);
        of_some.map(|one| (one.types.as_deref().unwrap_or_default(), one.tags.as_slice()))
    }
}

/// Types and tags as text.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({self})")
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (types, tags)) in self.parts().enumerate() {
            f.write_str(if number == 0 { "" } else { " or " })?;
            if types.is_empty() && tags.is_empty() {
                f.write_str("anything")?;
            }
            let types = types.iter().map(|one| one.escape_ascii().to_string()).collect::<Vec<_>>().join("|");
            let tags = tags.iter().map(|one| format!("#{}", one.escape_ascii()));
            let words = Some(types).filter(|types| !types.is_empty()).into_iter().chain(tags);
            f.write_str(&words.collect::<Vec<_>>().join(" "))?;
        }
        if self.parts().next().is_none() { f.write_str("nothing") } else { Ok(()) }
    }
}
