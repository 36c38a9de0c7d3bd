"""For all tests."""

from __future__ import annotations

import signal

# A test run in the background of a script starts with SIGINT ignored, and what it starts inherits
# that; tests that press Ctrl-C would wait for ever. With a handler here, children get the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
