"""What all tests share."""

import os
import signal
import tempfile

# A suite that runs in the background (`make test &`) is started with SIGINT ignored, and so would be all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The key that marks and signs is made in a folder of the tests' own, not in the user's.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="stale-diffusion-tests-")
