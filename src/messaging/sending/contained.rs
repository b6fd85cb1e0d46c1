//! Panics of others' code made values: of a broker's futures, of callbacks and hooks, and of their drops.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs others' code; a panic is its text.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // What the code shares with others after a panic is theirs to judge; nothing of ours is half changed.
    catch_unwind(AssertUnwindSafe(code)).map_err(text_of)
}

/// Drops a value of others. A panic of it goes no further.
pub(crate) fn drop_contained<T>(value: T) {
    let _ = caught(move || drop(value));
}

fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a text".into()),
    };
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // A payload whose drop panics, with a payload of which the same may be true: left alone.
        std::mem::forget(again);
    }
    text
}

/// A future of others: neither its polls nor its drop panic outwards.
pub(crate) struct Contained<'a, T>(Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> Contained<'a, T> {
    /// The call that makes the future is others' code too.
    pub(crate) fn new(make: impl FnOnce() -> Pin<Box<dyn Future<Output = T> + Send + 'a>>) -> Result<Contained<'a, T>, String> {
        caught(make).map(|future| Contained(Some(future)))
    }
}

impl<T> Future for Contained<'_, T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, String>> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err("it was polled after it had ended".into())) };
        match caught(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                // An answer counts, however the future ends.
                drop_contained(self.0.take());
                Poll::Ready(Ok(output))
            }
            Err(panic) => {
                drop_contained(self.0.take());
                Poll::Ready(Err(panic))
            }
        }
    }
}

impl<T> Drop for Contained<'_, T> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            drop_contained(future);
        }
    }
}
