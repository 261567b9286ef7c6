//! Pages and their bitmap: which are set, which runs they form, which are zero.

mod bitmap;
mod differences;
mod zero;

pub use bitmap::{AtomicBitmap, Bitmap, bitmap_bytes};
pub use differences::{Difference, Differences};
pub use zero::is_zero;
