//! What became of webhooks: the log of deliveries, and doing them over.

mod entry;
mod gone;
mod log;
mod replay;
mod view;

pub use entry::{Entry, Fate};
pub use gone::{Gone, digest};
pub use log::{DeliveryLog, LogPage, Selection};
pub use replay::{Range, Replayed, ping};
pub use view::{EntryView, LogView, ReplayedView, SentView};
