//! What a person sees: transcripts, exit codes, JSON, the manual.

mod damage;
mod disks;
mod errors;
mod first_run;
mod journey;
mod json;
mod manual;
mod secrets;
mod signals;
mod world;
