//! The front desk on the real state, with an order made by hand: see [`world::World`].

mod order;
mod random;
mod sessions;
mod time;
mod watches;
mod world;
