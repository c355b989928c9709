//! Chapter 7: unix sockets, descriptors, activation.
