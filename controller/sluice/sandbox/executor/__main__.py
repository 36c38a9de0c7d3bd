"""`python -m sluice.sandbox.executor --sdep iris --namespace prod --predictor main ...`."""

from __future__ import annotations

import asyncio
import os
import sys

from sluice.errors import SluiceError
from sluice.sandbox.executor import settings
from sluice.sandbox.executor.serving import serve


def main() -> int:
    """Serve until SIGTERM. Returns the exit code."""
    try:
        asyncio.run(serve(settings.read(sys.argv[1:], os.environ)))
    except SluiceError as error:
        sys.stderr.write(f"executor: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"executor: cannot listen: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
