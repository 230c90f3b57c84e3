"""Import one module, and one name of it where ``module:name`` is given; or nothing."""

import importlib
import sys

from benchmarks.scenarios.tell import tell

module, _, name = sys.argv[1].partition(":")
before = len(sys.modules)
if module != "bare":
    imported = importlib.import_module(module)
    if name:
        getattr(imported, name)
tell("modules", len(sys.modules) - before)
