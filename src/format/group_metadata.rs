//! Values of `__consumer_offsets` that describe a group and its members.

use super::Malformed;
use super::bytes::{self, Reader};
use super::offset_commit::check_version;
use crate::types::{NO_TIMESTAMP, Timestamp};

const VERSION: i16 = 3;

/// A group between two rebalances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMetadata {
    /// `consumer`, or empty when the group never had members.
    pub(crate) protocol_type: String,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    /// Since when the group is in its state, -1 if unknown.
    pub(crate) state_timestamp: Timestamp,
    pub(crate) members: Vec<GroupMember>,
}

/// A member of a group. Subscription and assignment are blobs of the group's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMember {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Vec<u8>,
    pub(crate) assignment: Vec<u8>,
}

impl GroupMetadata {
    /// Appends the value's bytes as version 3. A string beyond 32767 bytes is an error.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let count = i32::try_from(self.members.len())
            .map_err(|_| Malformed::invalid(0, "more members than an i32 counts"))?;
        bytes::put_i16(out, VERSION);
        bytes::put_string(out, &self.protocol_type)?;
        bytes::put_i32(out, self.generation);
        bytes::put_nullable_string(out, self.protocol.as_deref())?;
        bytes::put_nullable_string(out, self.leader.as_deref())?;
        bytes::put_i64(out, self.state_timestamp);
        bytes::put_i32(out, count);
        self.members.iter().try_for_each(|member| member.encode(out))
    }

    /// Decodes versions 0 to 3.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = check_version(reader.take_i16()?, "group metadata value version", VERSION)?;
        let protocol_type = reader.take_string()?.to_owned();
        let generation = reader.take_i32()?;
        let protocol = reader.take_nullable_string()?.map(str::to_owned);
        let leader = reader.take_nullable_string()?.map(str::to_owned);
        let state_timestamp = if version >= 2 { reader.take_i64()? } else { NO_TIMESTAMP };
        let at = reader.position();
        let count = reader.take_i32()?;
        if count < 0 {
            return Err(Malformed::invalid(at, "a negative member count"));
        }
        // No capacity from the count: it is what the bytes claim, and they may be damaged.
        let members =
            (0..count).map(|_| GroupMember::decode(&mut reader, version)).collect::<Result<_, _>>()?;
        Ok(Self { protocol_type, generation, protocol, leader, state_timestamp, members })
    }
}

impl GroupMember {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        bytes::put_string(out, &self.member_id)?;
        bytes::put_nullable_string(out, self.group_instance_id.as_deref())?;
        bytes::put_string(out, &self.client_id)?;
        bytes::put_string(out, &self.client_host)?;
        bytes::put_i32(out, self.rebalance_timeout_ms);
        bytes::put_i32(out, self.session_timeout_ms);
        bytes::put_bytes(out, &self.subscription)?;
        bytes::put_bytes(out, &self.assignment)
    }

    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        let member_id = reader.take_string()?.to_owned();
        let group_instance_id =
            if version >= 3 { reader.take_nullable_string()?.map(str::to_owned) } else { None };
        let client_id = reader.take_string()?.to_owned();
        let client_host = reader.take_string()?.to_owned();
        let rebalance_timeout_ms = if version >= 1 { Some(reader.take_i32()?) } else { None };
        let session_timeout_ms = reader.take_i32()?;
        Ok(Self {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            // Before version 1 the session timeout bounded rebalances too.
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: reader.take_bytes()?.to_vec(),
            assignment: reader.take_bytes()?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupMetadata {
        GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 4,
            protocol: Some("range".into()),
            leader: None,
            state_timestamp: 11,
            members: vec![GroupMember {
                member_id: "m-1".into(),
                group_instance_id: Some("static".into()),
                client_id: "c".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout_ms: 300_000,
                session_timeout_ms: 45_000,
                subscription: vec![0, 1],
                assignment: Vec::new(),
            }],
        }
    }

    #[test]
    fn round_trip() {
        let mut bytes = Vec::new();
        group().encode(&mut bytes).unwrap();
        assert_eq!(bytes[..12], *b"\0\x03\0\x08consumer");
        assert_eq!(GroupMetadata::decode(&bytes), Ok(group()));
        for cut in 0..bytes.len() {
            assert!(GroupMetadata::decode(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn version_0_has_fewer_fields() {
        let bytes =
            b"\0\0\0\x01c\0\0\0\x04\xff\xff\xff\xff\0\0\0\x01\0\x01m\0\x01c\0\x01h\0\0\0\x09\0\0\0\0\0\0\0\0";
        let group = GroupMetadata::decode(bytes).unwrap();
        assert_eq!((group.state_timestamp, group.leader), (NO_TIMESTAMP, None));
        let member = &group.members[0];
        assert_eq!((member.rebalance_timeout_ms, member.session_timeout_ms), (9, 9));
        assert_eq!(member.group_instance_id, None);
    }

    #[test]
    fn claims_are_not_believed() {
        let mut empty = group();
        empty.members.clear();
        let mut bytes = Vec::new();
        empty.encode(&mut bytes).unwrap();
        let count_at = bytes.len() - 4;
        bytes[count_at..].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(matches!(GroupMetadata::decode(&bytes), Err(Malformed::Truncated { .. })));
        bytes[count_at..].copy_from_slice(&(-1_i32).to_be_bytes());
        assert!(matches!(GroupMetadata::decode(&bytes), Err(Malformed::Invalid { .. })));
        assert!(matches!(GroupMetadata::decode(&[0, 4]), Err(Malformed::Unsupported { found: 4, .. })));
    }
}
