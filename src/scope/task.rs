//! The wrapper around every piece of the user's asynchronous code: blame, panic capture, and one message when it is over (C1, C4).

use super::{Message, Scope, blame};
use crate::run::{Failure, Input};
use pin_project_lite::pin_project;
use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What a piece of user code is to its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Start,
    Stop,
    /// The one task of a component that is a task.
    Run,
    /// The drop of something of the user's.
    Drop,
    Destroy,
    SetUp,
    /// A named task, by its place; it is to live as long as the component.
    Lasting(u32),
    /// A named task that may end when it likes.
    Job(u32),
}

/// Tasks' places come after the fixed codes.
pub(crate) const FIRST_TASK: u16 = 16;

impl Role {
    /// Its number in a blame word.
    pub(crate) fn code(self) -> u16 {
        match self {
            Role::Start => 1,
            Role::Stop => 2,
            Role::Run => 3,
            Role::Drop => 4,
            Role::Destroy => 5,
            Role::SetUp => 6,
            Role::Lasting(place) | Role::Job(place) => u16::try_from(place).unwrap_or(u16::MAX).saturating_add(FIRST_TASK),
        }
    }

    /// The name of a code that is not a task's.
    pub(crate) fn fixed_name(code: u16) -> Option<&'static str> {
        ["start", "stop", "run", "drop", "destroy", "set-up"].get(usize::from(code).checked_sub(1)?).copied()
    }
}

pin_project! {
    pub(crate) struct Wrapped<F> {
        #[pin]
        future: Option<F>,
        scope: Arc<Scope>,
        role: Role,
    }
    impl<F> PinnedDrop for Wrapped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let dropped = blamed(this.scope, *this.role, || this.future.set(None));
                this.scope.over(*this.role, dropped.err().map(Err));
            }
        }
    }
}

impl<F> Wrapped<F> {
    /// The scope must have been entered for it.
    pub(crate) fn new(future: F, scope: Arc<Scope>, role: Role) -> Wrapped<F> {
        Wrapped { future: Some(future), scope, role }
    }
}

impl<F: Future<Output = anyhow::Result<()>>> Future for Wrapped<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let (scope, role) = (&**this.scope, *this.role);
        let result = match blamed(scope, role, || future.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result.map_err(|error| failure_of(scope, role, error)),
            Err(panic) => Err(panic),
        };
        // What the future still owns is dropped before anybody hears that it is over.
        let dropped = blamed(scope, role, || this.future.set(None));
        scope.over(role, Some(result.and(dropped)));
        Poll::Ready(())
    }
}

/// Runs user code with this thread's blame on it, and makes a panic a value.
fn blamed<T>(scope: &Scope, role: Role, code: impl FnOnce() -> T) -> Result<T, Failure> {
    let _guard = blame::enter(scope.place(role.code()));
    caught(code)
}

/// Runs user code and makes a panic a value.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, Failure> {
    // What the code shares with others after a panic is the user's to judge; nothing of ours is half changed.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Failure::panic(panic_text(payload)))
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a text".into()),
    };
    // A payload may panic in its drop, once more.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // And that one's payload too, for ever: left alone.
        std::mem::forget(again);
    }
    text
}

/// An error as text: its `Display` and its drop are the user's code.
pub(crate) fn failure_of(scope: &Scope, role: Role, error: impl Into<anyhow::Error>) -> Failure {
    let text = blamed(scope, role, move || {
        let error = error.into();
        text_of(format_args!("{error:#}"))
    });
    match text {
        Ok(text) => Failure::error(text),
        Err(panic) => Failure::panic(format!("the error's own text panicked: {}", panic.text)),
    }
}

fn text_of(text: impl Display) -> String {
    text.to_string()
}

impl Scope {
    /// A piece of user code is over: with a result, or dropped before it had one.
    pub(crate) fn over(&self, role: Role, result: Option<Result<(), Failure>>) {
        let (id, epoch) = (self.subject, self.epoch);
        match (role, result) {
            (Role::Start, Some(result)) => {
                if result.is_ok() {
                    // Nothing more was asked of it.
                    self.set_deadline(crate::span::Moment::NEVER);
                }
                self.shared.fact(Input::StartReturned { id, epoch, result });
            }
            (Role::Stop, Some(result)) => self.shared.fact(Input::StopReturned { id, epoch, result }),
            (Role::Run, Some(result)) => self.task_over("run".into(), result, true),
            (Role::Lasting(place) | Role::Job(place), result) => {
                let name = self.extra().gone(place).unwrap_or_default();
                if let Some(result) = result {
                    self.task_over(name, result, matches!(role, Role::Lasting(_)));
                }
            }
            (Role::Destroy, Some(result)) => self.shared.fact(Input::ResourceEnded { id: id - super::RESOURCES, result }),
            (Role::SetUp, Some(result)) => self.shared.send(Message::SetUpEnded(result)),
            (Role::SetUp, None) => self.shared.fact(Input::SetUpDropped),
            (Role::Drop | Role::Start | Role::Stop | Role::Run | Role::Destroy, _) => {}
        }
        if let (Role::Start, Some(extra)) = (role, self.extra_if_any()) {
            extra.let_go().into_iter().for_each(|end| self.shared.fact(end));
        }
        self.leave();
    }

    /// Said only if it means something: a failure always, a good end only when nobody had asked for it.
    fn task_over(&self, name: std::borrow::Cow<'static, str>, result: Result<(), Failure>, lasting: bool) {
        if result.is_err() || (lasting && !self.asked()) {
            let (id, epoch) = (self.subject, self.epoch);
            let end = Input::TaskEnded { id, epoch, task: name.as_ref().into(), result, lasting };
            let told = match self.extra_if_any() {
                Some(extra) => extra.hold(end),
                None => Some(end),
            };
            told.into_iter().for_each(|end| self.shared.fact(end));
        }
    }
}
