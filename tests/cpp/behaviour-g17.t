#!/bin/sh
# sock.hpp with g++ in C++17, sanitized.
exec tests/cpp/behaviour g++ c++17
