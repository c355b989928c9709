#!/bin/sh
exec "$BUILD/tests/races/races"
