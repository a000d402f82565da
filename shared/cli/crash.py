"""Describe a failure of the command line itself.

Only the standard library is imported, so that nothing can be missing here.
"""

from __future__ import annotations  # so that an older interpreter can load it

import sys
from pathlib import Path
from traceback import extract_tb, print_exc

CRASHED, INTERRUPTED = 70, 130


def crash(error: Exception) -> str:
    """Return where the program failed and what to do, without the error's own text, which may contain a secret."""
    if sys.flags.dev_mode:
        print_exc()
    if isinstance(error, ModuleNotFoundError):
        return f"the package of the module {error.name} is not installed\n  what to do: pip install -r requirements.txt"
    root = Path(__file__).resolve().parents[2]
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if root / "shared" in Path(frame.filename).parents]
    place = f" in {Path(own[-1].filename).relative_to(root)}, line {own[-1].lineno}" if own else ""
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return (
        f"the command line itself failed: {type(error).__name__}{reason}{place}\n"
        "  what to do: check the deployment with status ID, because what was sent continues; then report this line "
        "and the command. PYTHONDEVMODE=1 shows the traceback"
    )
