"""How fast the jobs are, each beside what it could be at best and what it would be written plainly.

`python -m benchmarks` runs what is in here.
"""

import os
import warnings

# As in the `captioner` command: of what libraries say as they load nothing is about a figure.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message="You are using a Python version")
