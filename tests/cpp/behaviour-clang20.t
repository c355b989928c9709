#!/bin/sh
# sock.hpp with clang++ in C++20, sanitized.
exec tests/cpp/behaviour clang++ c++20
