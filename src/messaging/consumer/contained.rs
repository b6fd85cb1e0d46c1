//! The user's futures, contained: a panic in a poll, or in a drop, becomes a text.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs user code and makes a panic its text.
pub(super) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // What the code shares with others after a panic is the user's to judge; nothing of ours is half changed.
    catch_unwind(AssertUnwindSafe(code)).map_err(panic_text)
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a text".into()),
    };
    // A payload may panic in its drop, and that one's payload too, for ever: left alone.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    text
}

/// A future whose panics, also in its drop, are errors.
pub(super) struct Contained<'a, T>(Option<Boxed<'a, T>>);

impl<'a, T> Contained<'a, T> {
    pub(super) fn new(make: impl FnOnce() -> Boxed<'a, T>) -> Result<Contained<'a, T>, String> {
        caught(make).map(|future| Contained(Some(future)))
    }

    fn end(&mut self) -> Result<(), String> {
        let future = self.0.take();
        caught(move || drop(future))
    }
}

impl<T> Future for Contained<'_, T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let result = match caught(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(text) => Err(text),
        };
        let dropped = self.end();
        Poll::Ready(result.and_then(|output| dropped.map(|()| output)))
    }
}

impl<T> Drop for Contained<'_, T> {
    fn drop(&mut self) {
        // Nobody asks for it any more, so nobody is told of its panic.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb(&'static str);
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(self.0);
        }
    }

    #[tokio::test]
    async fn m8_panics_in_making_polling_and_dropping_are_texts() {
        let made = Contained::<()>::new(|| panic!("made"));
        assert_eq!(made.err().as_deref(), Some("made"));
        let polled = Contained::<()>::new(|| Box::pin(async { panic!("polled {}", 1) })).unwrap();
        assert_eq!(polled.await, Err("polled 1".into()));
        let dropped = Contained::new(|| {
            let bomb = Bomb("dropped");
            Box::pin(async move {
                let _bomb = &bomb;
            })
        });
        assert_eq!(dropped.unwrap().await, Err("dropped".into()));
        let payload = Contained::<()>::new(|| Box::pin(async { std::panic::panic_any(Bomb("payload")) })).unwrap();
        assert_eq!(payload.await, Err("a panic without a text".into()));
        let unpolled = Contained::<()>::new(|| {
            let bomb = Bomb("unpolled");
            Box::pin(async move { drop(bomb) })
        });
        drop(unpolled);
    }
}
