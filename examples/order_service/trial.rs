//! The service under load from itself: serve, load, a real SIGTERM, the timeline, what the clients heard, the audit.

use crate::args::{Args, LoadPlan};
use crate::audit::Audit;
use crate::directory::DataDirectory;
use crate::load::Tally;
use crate::{assemble::service, load};
use anyhow::Context;
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::raise;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use winddown::{OnDeadline, Output};

/// Exits with 1 if an order is lost, else with the report's code.
pub(crate) fn run(args: &Args, plan: LoadPlan) -> ExitCode {
    serve_and_audit(args, plan).unwrap_or_else(|problem| {
        let _ = writeln!(std::io::stderr(), "order_service: {problem:#}");
        ExitCode::FAILURE
    })
}

fn serve_and_audit(args: &Args, plan: LoadPlan) -> anyhow::Result<ExitCode> {
    let data = DataDirectory::given_or_fresh(args.data.clone())?;
    let (tell, told) = unbounded_channel();
    let app = service(args, data.path().into(), Some(tell))
        // The timeline is printed below, on stdout; and the audit must follow even a stop that the last deadline ended.
        .output(Output::Quiet)
        .on_deadline(OnDeadline::Return);
    let handle = app.handle();
    let terminate = move || {
        if let Err(why) = raise(SIGTERM) {
            let _ = handle.shutdown(format!("the load is over, and SIGTERM could not be raised: {why}"));
        }
    };
    let over = CancellationToken::new();
    let driver = {
        let over = over.clone();
        thread::Builder::new().name("load".into()).spawn(move || load::drive(told, plan, terminate, &over))
    };
    let driver = driver.context("cannot start the load's thread")?;
    let report = app.run_blocking();
    over.cancel();
    let tally = driver.join().map_err(|_| anyhow::anyhow!("the load's thread panicked"))?.context("cannot load the service")?;

    // Not through `Exit`, which may leave the process then and there: the directory is to be removed first.
    let code = ExitCode::from(report.exit_code());
    let text = report.to_text(false);
    if tally.prefix.is_empty() {
        let _ = write!(std::io::stderr(), "{text}"); // it never came up: the text says why
        return Ok(code);
    }
    let audit = Audit::of(&[data.path().into()], &args.broker).context("cannot audit it")?;
    let kept = kept(&tally, &audit);
    let _ = write!(std::io::stdout(), "{text}\n{tally}\n{audit}");
    if !kept {
        let _ = writeln!(std::io::stdout(), "some orders answered 202 are not in the log of accepted orders");
    }
    if let Some(file) = &args.report {
        // The app has written it, but a quiet one does not say so if it could not.
        report.write_to(file).with_context(|| format!("cannot write the report to {}", file.display()))?;
    }
    Ok(if kept && audit.holds() { code } else { ExitCode::FAILURE })
}

/// The log of accepted orders is the service's own; the clients know better.
fn kept(tally: &Tally, audit: &Audit) -> bool {
    tally.accepted.iter().all(|id| audit.state(id).is_some())
}
