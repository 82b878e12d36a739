//! The retention daemon over a simulated year: a moved clock, a real PostgreSQL, real stores. What is promised is looked
//! for in the store's own list, as absence of the object, never as success of a job.
//! Not here: closed accounts' rows and archives.

mod approved;
mod caps;
mod clocks;
mod closed;
mod faults;
mod ground;
mod killed;
mod month;
mod people;
mod real;
mod seam;
mod steps;
mod swapped;
mod year;
