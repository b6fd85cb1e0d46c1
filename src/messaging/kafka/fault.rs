//! What Kafka and its client library answer, as errors of ours: one table.

use super::super::{BrokerError, Class, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

pub(super) const NAME: &str = "kafka";

/// Kind and class of a code. The comments say why, where the kind does not say it.
fn classed(code: Code) -> (ErrorKind, Class) {
    use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};
    let kind = match code {
        // The client's own queue: the record never left.
        Code::QueueFull => return (ErrorKind::Busy, Safe),
        Code::ThrottlingQuotaExceeded => return (ErrorKind::Busy, Safe),
        // The library does not tell whether a record that timed out had ever been sent.
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => ErrorKind::TimedOut,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::NetworkException => ErrorKind::Disconnected,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::SecurityDisabled => ErrorKind::Unauthorised,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::UnknownTopicId => ErrorKind::UnknownTopic,
        Code::UnknownGroup | Code::GroupIdNotFound => ErrorKind::UnknownGroup,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize | Code::OffsetMetadataTooLarge => ErrorKind::TooLarge,
        Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::InvalidArgument
        | Code::InvalidRequest
        | Code::InvalidConfig
        | Code::InvalidGroupId
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidSessionTimeout
        | Code::InvalidRequiredAcks
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType
        | Code::UnsupportedAssignor
        | Code::BadCompression
        | Code::TopicAlreadyExists
        | Code::PolicyViolation => ErrorKind::Invalid,
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::NotImplemented => ErrorKind::Unsupported,
        // Refused by a server that is not, or not yet, the one to ask: nothing was written.
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NotEnoughReplicas
        | Code::NotController
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::WaitingForCoordinator
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ListenerNotFound
        | Code::RebalanceInProgress => ErrorKind::Unavailable,
        // Written by the leader, and not by enough of the others.
        Code::NotEnoughReplicasAfterAppend => return (ErrorKind::Unavailable, Ambiguous),
        // A disk failed in the middle of it.
        Code::KafkaStorageError | Code::LogDirNotFound => return (ErrorKind::Unavailable, Ambiguous),
        Code::GroupMaxSizeReached => ErrorKind::Full,
        // The record was damaged on its way, and refused.
        Code::InvalidMessage => return (ErrorKind::Other, Safe),
        // Another member has the partition, or will have it.
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::FencedInstanceId
        | Code::AssignmentLost => ErrorKind::Stale,
        // Never sent, when the client was closed; or sent, and the answer is lost with the client.
        Code::PurgeQueue | Code::DestroyBroker | Code::BrokerDestroy => ErrorKind::Closed,
        Code::PurgeInflight => return (ErrorKind::Closed, Ambiguous),
        // Another producer has taken this one's place: it will not get it back.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => return (ErrorKind::Other, Fatal),
        // The server has lost track of this producer, or it of its numbers. The adapter makes a new one: the next try is that one's.
        Code::Fatal | Code::OutOfOrderSequenceNumber | Code::UnknownProducerId | Code::GaplessGuarantee => return (ErrorKind::Other, Ambiguous),
        _ => ErrorKind::Other,
    };
    (kind, kind.usual_class())
}

pub(super) fn of_code(code: Code, text: impl Into<String>) -> BrokerError {
    let (kind, class) = classed(code);
    BrokerError::new(NAME, kind, text).with_class(class).with_code(i64::from(code as i32))
}

/// With the library's own words for the code.
pub(super) fn of_bare_code(code: Code) -> BrokerError {
    of_code(code, code.to_string())
}

pub(super) fn of(error: &KafkaError) -> BrokerError {
    match error {
        KafkaError::Canceled => closed().with_class(Class::RetryableAmbiguous),
        // The value may be a password.
        KafkaError::ClientConfig(_, why, key, _) => BrokerError::new(NAME, ErrorKind::Invalid, format!("the setting `{key}`: {why}")),
        KafkaError::ClientCreation(why) => BrokerError::new(NAME, ErrorKind::Invalid, format!("no client can be made of these settings: {why}")),
        other => match other.rdkafka_error_code() {
            Some(code) => of_bare_code(code),
            None => BrokerError::new(NAME, ErrorKind::Other, other.to_string()),
        },
    }
}

pub(super) fn closed() -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Closed, "it was closed")
}

/// What the library's answer to a send means for the producer: it will never send again.
pub(super) fn ends_a_producer(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::GaplessGuarantee))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_the_class_that_is_true() {
        use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};
        for (code, kind, class) in [
            (Code::QueueFull, ErrorKind::Busy, Safe),
            (Code::MessageTimedOut, ErrorKind::TimedOut, Ambiguous),
            (Code::RequestTimedOut, ErrorKind::TimedOut, Ambiguous),
            (Code::BrokerTransportFailure, ErrorKind::Disconnected, Ambiguous),
            (Code::AllBrokersDown, ErrorKind::Disconnected, Ambiguous),
            (Code::Authentication, ErrorKind::Unauthorised, Fatal),
            (Code::SaslAuthenticationFailed, ErrorKind::Unauthorised, Fatal),
            (Code::TopicAuthorizationFailed, ErrorKind::Unauthorised, Fatal),
            (Code::UnknownTopicOrPartition, ErrorKind::UnknownTopic, Fatal),
            (Code::MessageSizeTooLarge, ErrorKind::TooLarge, Fatal),
            (Code::InvalidTopic, ErrorKind::Invalid, Fatal),
            (Code::NotLeaderForPartition, ErrorKind::Unavailable, Safe),
            (Code::NotEnoughReplicas, ErrorKind::Unavailable, Safe),
            (Code::NotEnoughReplicasAfterAppend, ErrorKind::Unavailable, Ambiguous),
            (Code::KafkaStorageError, ErrorKind::Unavailable, Ambiguous),
            (Code::InvalidMessage, ErrorKind::Other, Safe),
            (Code::IllegalGeneration, ErrorKind::Stale, Fatal),
            (Code::PurgeQueue, ErrorKind::Closed, Fatal),
            (Code::PurgeInflight, ErrorKind::Closed, Ambiguous),
            (Code::ProducerFenced, ErrorKind::Other, Fatal),
            (Code::Fatal, ErrorKind::Other, Ambiguous),
            (Code::Unknown, ErrorKind::Other, Ambiguous),
        ] {
            let error = of(&KafkaError::MessageProduction(code));
            assert_eq!((error.kind(), error.class()), (kind, class), "{code:?}");
            assert_eq!(error.code(), Some(i64::from(code as i32)), "{code:?}");
            assert!(!error.text().is_empty(), "{code:?}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named_and_its_value_is_not() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.passwort", "secret");
        let error = of(&config.create_native_config().err().expect("there is no such setting"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.text().contains("sasl.passwort") && !error.to_string().contains("secret"), "{error}");
    }
}
