#!/bin/sh
exec "$BUILD/tests/network/surroundings"
