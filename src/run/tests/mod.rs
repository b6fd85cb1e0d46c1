//! Tests of the pure machine, all in a time of their own.
//!
//! `case` says what is registered and who misbehaves, `world` carries it out against the machine, `model` watches and knows the rules
//! in the plainest way there is; every test that goes through the world is judged by the model too.

mod case;
mod ending;
mod explore;
mod model;
mod model_actions;
mod model_end;
mod model_facts;
mod naive;
mod prop;
mod rules_order;
mod rules_resources;
mod rules_run;
mod rules_signals;
mod rules_start;
mod rules_stop;
mod scale;
mod world;

use crate::span::Moment;

/// Milliseconds as a moment.
pub(super) fn ms(n: u64) -> Moment {
    Moment(n * 1_000_000)
}
