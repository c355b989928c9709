#!/bin/sh
exec "$BUILD/tests/network/multicast"
