#!/bin/sh
exec "$BUILD/tests/network/traffic"
