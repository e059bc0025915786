"""What every benchmark prints beside its figures."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def report(name: str, figures: dict[str, Any]) -> None:
    """One JSON line: the benchmark, its figures, versions and machine."""
    packages = ("mmsearch", "numpy", "pillow", "onnxruntime", "sqlalchemy")
    machine = {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()}
    line = {"benchmark": name, **figures, "versions": {p: version(p) for p in packages}, "machine": machine}
    print(json.dumps(line))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
