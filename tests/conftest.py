"""What all tests share."""

import signal

# A suite that runs in the background (`make test &`) is started with SIGINT ignored, and so would be all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
