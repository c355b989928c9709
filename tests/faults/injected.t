#!/bin/sh
exec "$BUILD/tests/faults/injected"
