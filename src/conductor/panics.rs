//! Under `panic = "abort"` a panic ends the process before anybody can catch it: the hook names the component and has the report written.

use crate::scope::{Message, Shared, blame};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

/// How long a dying process waits for its report.
const WAIT: Duration = Duration::from_millis(500);

static APPS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// Makes panics of this app's code known to it, where they cannot be caught.
pub(super) fn watch(shared: &Arc<Shared>) {
    if !cfg!(panic = "abort") {
        return;
    }
    let mut apps = APPS.lock().unwrap_or_else(PoisonError::into_inner);
    apps.retain(|app| app.strong_count() > 0);
    apps.push(Arc::downgrade(shared));
    drop(apps);
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            previous(info);
            let text = info.payload_as_str().unwrap_or("a panic without a text").to_owned();
            tell(&text);
        }));
    });
}

fn tell(text: &str) {
    let here = blame::here();
    let Ok(apps) = APPS.try_lock() else { return };
    let mut live = apps.iter().filter_map(Weak::upgrade);
    let owner = match here {
        Some(place) => live.find(|app| app.number.0 == place.app),
        None => live.next(),
    };
    drop(apps);
    let Some(app) = owner else { return };
    let (done, written) = std::sync::mpsc::sync_channel(1);
    app.send(Message::Panicking { subject: here.map(|place| place.subject), text: text.to_owned(), done });
    let _ = written.recv_timeout(WAIT);
}
