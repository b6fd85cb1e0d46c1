//! One try, bounded in time, its panics contained, its answer classed.

use super::contained::Contained;
use crate::messaging::{Broker, BrokerError, Class, ErrorKind, Message, Route, SendReceipt};
use tokio::time::{Instant, timeout_at};

/// Sends one message once, until `until` at most.
pub(super) async fn send(broker: &dyn Broker, message: &Message, route: Option<&Route>, until: Instant) -> Result<SendReceipt, BrokerError> {
    let began = Instant::now();
    let answer = match Contained::new(|| broker.send(message, route)) {
        Ok(sending) => timeout_at(until, sending).await,
        Err(panic) => Ok(Err(panic)),
    };
    match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => Err(panicked(broker, message, &panic)),
        Err(_late) => Err(silent(broker, message, began)),
    }
}

/// The same for several of one topic; an answer for each.
pub(super) async fn send_batch(
    broker: &dyn Broker,
    messages: &[Message],
    route: Option<&Route>,
    until: Instant,
) -> Vec<Result<SendReceipt, BrokerError>> {
    let began = Instant::now();
    let answers = match Contained::new(|| broker.send_batch(messages, route)) {
        Ok(sending) => timeout_at(until, sending).await,
        Err(panic) => Ok(Err(panic)),
    };
    let mut answers = match answers {
        Ok(Ok(answers)) => answers,
        Ok(Err(panic)) => messages.iter().map(|message| Err(panicked(broker, message, &panic))).collect(),
        Err(_late) => messages.iter().map(|message| Err(silent(broker, message, began))).collect(),
    };
    // An adapter that answers too few has said nothing about the rest.
    let answered = answers.len();
    let missing = |message| Err(unsure(broker, message, format!("the batch of {} had {answered} answers", messages.len())));
    answers.extend(messages.iter().skip(answered).map(missing));
    answers
}

fn silent(broker: &dyn Broker, message: &Message, began: Instant) -> BrokerError {
    let text = format!("no answer within {:?}", began.elapsed());
    BrokerError::new(broker.name(), ErrorKind::TimedOut, text).about(message.topic_shared())
}

fn panicked(broker: &dyn Broker, message: &Message, panic: &str) -> BrokerError {
    unsure(broker, message, format!("its code panicked: {panic}"))
}

/// It may have been sent.
pub(super) fn unsure(broker: &dyn Broker, message: &Message, text: String) -> BrokerError {
    BrokerError::new(broker.name(), ErrorKind::Other, text).with_class(Class::RetryableAmbiguous).about(message.topic_shared())
}
