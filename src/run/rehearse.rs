//! stub
/// x
#[derive(Debug)]
pub struct Case;
/// x
#[derive(Debug)]
pub struct Rehearsal;
