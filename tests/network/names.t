#!/bin/sh
exec "$BUILD/tests/network/names"
