"""What all tests share: examples that are the same on every machine that decides something."""

import os

from hypothesis import settings

# A slow machine is not a failure, and what decides whether a change lands must not be a matter of luck.
settings.register_profile("house", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")
