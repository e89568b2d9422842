"""What every test process needs to know before anything imports torch."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes run side by side; threads of their own would stand in each other's way
os.environ.setdefault("HF_HUB_OFFLINE", "1")
