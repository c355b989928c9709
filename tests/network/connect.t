#!/bin/sh
exec "$BUILD/tests/network/connect"
