//! The pages in a real browser (`scripts/browser-test`): the width of a telephone, the script that keeps a page current and
//! filters it, and what a reader can see without colours, mouse or script. It needs Chromium, so the gate only compiles it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod pages;
mod shop;
