"""For all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# The same examples every time and no limit of time: a gate for others' changes must not fail by
# chance. SLUICE_EXPLORE=1 draws anew, to look for what those examples do not show.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("SLUICE_EXPLORE") == "1" else "same")

# A test run in the background of a script starts with SIGINT ignored, and what it starts inherits
# that; tests that press Ctrl-C would wait for ever. With a handler here, children get the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
