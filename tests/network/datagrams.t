#!/bin/sh
exec "$BUILD/tests/network/datagrams"
