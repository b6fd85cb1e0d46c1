//! Signals: one thread for the whole process sits in signal-hook's iterator and forwards to every app that listens.
//!
//! A handler may not send on a channel, so the thread does. Handlers stay installed for good (there is no safe way back), but while
//! nobody listens a signal that had its default action before has it again.

use super::disposition::{self, Disposition};
use crate::run::Input;
use crate::scope::Message;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What stops a program (T8).
const STOPPING: [(i32, &str); 4] = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT"), (SIGHUP, "SIGHUP")];

struct Listener {
    app: u32,
    inbox: Sender<Message>,
}

static LISTENERS: Mutex<Vec<Listener>> = Mutex::new(Vec::new());
static INSTALLED: Mutex<bool> = Mutex::new(false);

fn listeners() -> MutexGuard<'static, Vec<Listener>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True while nobody listens: a signal then has its default action.
fn nobody_listens() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| Arc::new(AtomicBool::new(false)))
}

/// While it lives, an app hears signals.
#[derive(Debug)]
pub(crate) struct Ears {
    app: u32,
}

impl Ears {
    /// Begins to listen.
    pub(crate) fn open(app: u32, inbox: Sender<Message>) -> io::Result<Ears> {
        let mut all = listeners();
        all.push(Listener { app, inbox });
        nobody_listens().store(false, Ordering::SeqCst);
        drop(all);
        let ears = Ears { app };
        install()?;
        Ok(ears)
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        let mut all = listeners();
        all.retain(|l| l.app != self.app);
        nobody_listens().store(all.is_empty(), Ordering::SeqCst);
    }
}

/// Once for the process.
fn install() -> io::Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    let mut heard = Vec::new();
    for (signal, _) in STOPPING {
        match disposition::of(signal) {
            // Ignored when the program began, as under nohup: stays so.
            Disposition::Ignored => {}
            // Another handler goes on working beside ours, and is what remains afterwards.
            Disposition::Handled => heard.push(signal),
            Disposition::Default => {
                signal_hook::flag::register_conditional_default(signal, nobody_listens().clone())?;
                heard.push(signal);
            }
        }
    }
    let mut signals = signal_hook::iterator::Signals::new(&heard)?;
    std::thread::Builder::new().name("winddown-signals".into()).spawn(move || {
        for number in signals.forever() {
            let name = STOPPING.iter().find(|(n, _)| *n == number).map_or("a signal", |(_, name)| name);
            for listener in listeners().iter() {
                let _ = listener.inbox.send(Message::Fact(Input::Signal { number, name }));
            }
        }
    })?;
    *installed = true;
    Ok(())
}
