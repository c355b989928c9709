//! Chapter 6: datagrams.
