#!/bin/sh
exec "$BUILD/tests/faults/loop"
