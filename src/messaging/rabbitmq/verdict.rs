//! What became of a batch, and who is answered what.

use super::super::{BrokerError, Class, ErrorKind};
use super::fault::{Stage, blocked, error, failed, late, rejected, unrouted};
use super::publisher::{Parcel, Waiting};
use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
use lapin::types::ShortString;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What became of a message.
pub(super) enum Outcome {
    /// Confirmed, and with the confirm came a message that was returned; whose, the name tells.
    Confirmed { stored: bool, returned: Option<Name> },
    /// The channel or the connection ended.
    Fault(lapin::Error),
    /// It was not written.
    NotBegun,
    /// No word in time.
    Late,
    /// No word, and the server has stopped taking messages.
    Blocked,
}

impl Outcome {
    pub(super) fn confirmed(confirmation: Confirmation) -> Outcome {
        let stored = !confirmation.is_nack();
        Outcome::Confirmed { stored, returned: confirmation.take_message().as_ref().map(name_of_returned) }
    }
}

/// Exchange, routing key and id: those of a batch that have the same name have the same fate.
type Name = (String, String, Option<String>);

fn name_of(parcel: &Parcel) -> Name {
    let id = parcel.properties.message_id().as_ref().map(ShortString::to_string);
    (parcel.exchange.to_string(), parcel.routing_key.to_string(), id)
}

fn name_of_returned(message: &BasicReturnMessage) -> Name {
    let id = message.properties.message_id().as_ref().map(ShortString::to_string);
    (message.exchange.to_string(), message.routing_key.to_string(), id)
}

/// Who is answered what.
pub(super) fn judge(target: &Arc<str>, declares: bool, sent: Vec<(Waiting, Outcome)>) {
    let alone = sent.len() == 1;
    let open = sent.iter().any(|(_, outcome)| !matches!(outcome, Outcome::Confirmed { .. }));
    let mut returned = BTreeSet::new();
    let mut strays = false;
    for (waiting, outcome) in &sent {
        if let Outcome::Confirmed { returned: Some(name), .. } = outcome {
            strays |= *name != name_of(&waiting.parcel);
            returned.insert(name.clone());
        }
    }
    let what = format!("a message to `{target}`");
    for (waiting, outcome) in sent {
        let answer = match outcome {
            Outcome::Confirmed { .. } if returned.contains(&name_of(&waiting.parcel)) => Err(unrouted(target, "the message was returned")),
            // A returned message came with another's confirm, and not all are there: this one's own may be among those that are missing.
            Outcome::Confirmed { .. } if strays && open => Err(late(&what, Stage::Sent)),
            Outcome::Confirmed { stored: false, .. } => Err(rejected()),
            Outcome::Confirmed { .. } => Ok(()),
            Outcome::NotBegun => {
                Err(error(ErrorKind::Disconnected, format!("{what}: the channel was lost before it was sent")).with_class(Class::RetryableSafe))
            }
            Outcome::Late => Err(late(&what, Stage::Sent)),
            Outcome::Blocked => Err(blocked(Stage::Sent)),
            Outcome::Fault(fault) => Err(blame(declares, &what, &fault, &waiting.parcel, alone)),
        };
        waiting.answer(answer.map_err(|error| error.about(target.clone())));
    }
}

/// The server closes the channel because of one message; the others on it may have been stored.
fn blame(declares: bool, what: &str, fault: &lapin::Error, parcel: &Parcel, alone: bool) -> BrokerError {
    let mine = failed(what, fault, Stage::Sent);
    let lapin::ErrorKind::ProtocolError(answer) = fault.kind() else { return mine };
    let text = answer.get_message().as_str();
    match answer.get_id() {
        404 if declares => {
            let text = format!("{what}: {text}: it was deleted, and is made again with the next try");
            error(ErrorKind::Unavailable, text).with_code(404)
        }
        // All of them went to the same exchange, or the server goes.
        320 | 403 | 404 => mine,
        406 if text.contains(&format!("message size {} ", parcel.body.len())) => mine,
        _ if alone => mine,
        code => error(ErrorKind::Disconnected, format!("{what}: another message made the server close the channel: {text}")).with_code(code.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::publisher::Need;
    use super::*;
    use crate::messaging::{Bytes, MessageId};
    use lapin::BasicProperties;
    use lapin::protocol::AMQPError;
    use tokio::sync::oneshot;

    fn name(number: u128) -> Name {
        ("t".into(), String::new(), Some(MessageId::from_u128(number).to_string()))
    }

    /// The answers, `None` for Ok.
    fn answers(outcomes: Vec<Outcome>) -> Vec<Option<(ErrorKind, Class)>> {
        let mut receivers = Vec::new();
        let mut sent = Vec::new();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let properties = BasicProperties::default().with_message_id(MessageId::from_u128(number as u128).to_string().into());
            let body = Bytes::from(vec![0; number]);
            let parcel = Parcel { exchange: "t".into(), routing_key: "".into(), properties, body, need: Need::Nothing };
            let (answer, receiver) = oneshot::channel();
            sent.push((Waiting { parcel, answer }, outcome));
            receivers.push(receiver);
        }
        judge(&"t".into(), false, sent);
        let answer = |mut receiver: oneshot::Receiver<Result<(), BrokerError>>| receiver.try_recv().expect("answered").err();
        receivers.into_iter().map(|receiver| answer(receiver).map(|error| (error.kind(), error.class()))).collect()
    }

    fn confirmed(returned: Option<u128>) -> Outcome {
        Outcome::Confirmed { stored: true, returned: returned.map(name) }
    }

    fn refused(code: u16, text: &str) -> Outcome {
        let answer = AMQPError::from_id(code, text.into()).expect("a code of AMQP's");
        Outcome::Fault(lapin::ErrorKind::ProtocolError(answer).into())
    }

    const UNROUTED: Option<(ErrorKind, Class)> = Some((ErrorKind::UnknownGroup, Class::RetryableSafe));
    const IN_DOUBT: Option<(ErrorKind, Class)> = Some((ErrorKind::TimedOut, Class::RetryableAmbiguous));

    #[test]
    fn a_returned_message_is_its_own_whichever_confirm_it_came_with() {
        assert_eq!(answers(vec![confirmed(None), confirmed(Some(1))]), [None, UNROUTED]);
        assert_eq!(answers(vec![confirmed(Some(1)), confirmed(None)]), [None, UNROUTED]);
        assert_eq!(answers(vec![confirmed(Some(1)), confirmed(Some(0)), confirmed(None)]), [UNROUTED, UNROUTED, None]);
    }

    #[test]
    fn where_a_returned_message_may_still_be_missing_nothing_is_certain() {
        // The first came with the second's, so the second's own may be with the one that has no answer.
        assert_eq!(answers(vec![confirmed(None), confirmed(Some(0)), Outcome::Late]), [UNROUTED, IN_DOUBT, IN_DOUBT]);
        assert_eq!(answers(vec![confirmed(None), Outcome::Late]), [None, IN_DOUBT]);
    }

    #[test]
    fn what_one_message_did_is_not_the_others_fault() {
        let lost = Some((ErrorKind::Disconnected, Class::RetryableAmbiguous));
        let too_large = || refused(406, "message size 2 is larger than configured max size 1");
        let large = Some((ErrorKind::TooLarge, Class::Fatal));
        assert_eq!(answers(vec![confirmed(None), too_large(), too_large()]), [None, lost, large]);
        let unknown = Some((ErrorKind::UnknownTopic, Class::Fatal));
        assert_eq!(answers(vec![refused(404, "no exchange"), refused(404, "no exchange")]), [unknown, unknown]);
        let unsent = Some((ErrorKind::Disconnected, Class::RetryableSafe));
        assert_eq!(answers(vec![Outcome::NotBegun, Outcome::Blocked]), [unsent, Some((ErrorKind::Busy, Class::RetryableAmbiguous))]);
    }
}
