//! Out of the house: JSON lines, readable lines, and the services for consumers on this machine.
#![forbid(unsafe_code)]

mod convert;
mod feed;
mod filter;
mod hub;
mod kind;
mod output;
mod pretty;
mod queue;
mod serve;
mod socket;
mod stage;
mod summary;
mod telemetry;
mod text;

pub use convert::{BootClock, Converter};
pub use feed::{Feed, FeedError, containers};
pub use filter::{Filter, FilterError};
pub use hub::Hub;
pub use kind::{KindSet, Named, UnknownKind};
pub use output::{Format, Output, OutputError};
pub use serve::{ServeError, serve};
pub use socket::{Socket, SocketError};
pub use stage::Deliver;
pub use summary::Summary;
pub(crate) use text::{Shown, Tail};
