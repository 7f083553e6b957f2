//! `bench report`
mod cells;
mod claims;
mod compare;
mod markdown;
mod operators;
mod paper;
mod splice;
mod table;
