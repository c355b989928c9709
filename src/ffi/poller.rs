//! Chapter 8: many sockets in one thread.
