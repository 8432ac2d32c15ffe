"""Preloaded into the fork server before anything else: it dies with the runner and ignores signals meant for steps.

Importing it changes the importing process; nothing else may import it. A stop sent to the whole process group must not
end the fork server, since that would kill the step that is about to commit its batch.
"""

from __future__ import annotations

import functools
import importlib.metadata
import signal

from pipeline.lifeline import die_with_parent

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
die_with_parent()

importlib.metadata.packages_distributions = functools.cache(importlib.metadata.packages_distributions)
"""transformers and trl each read the metadata of all that is installed, for most of a second."""
