//! Where the two files of the permits find each other.

#[path = "../../../src/messaging/permits/admission.rs"]
pub(crate) mod admission;
#[path = "../../../src/messaging/permits/error.rs"]
pub(crate) mod error;
