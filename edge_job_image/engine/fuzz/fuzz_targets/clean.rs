//! Any rules, any bytes: see `check.rs`. `make fuzz-engine` runs it.

#![no_main]

#[path = "../check.rs"]
mod check;

use std::cell::RefCell;

use check::Site;

thread_local! {
    static SITE: RefCell<Site> = RefCell::new(Site::new("fuzz"));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| SITE.with_borrow_mut(|site| site.check(data)));
