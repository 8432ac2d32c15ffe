"""Preloaded into the fork server before anything else: it dies with the runner and ignores signals meant for steps.

Importing it changes the importing process; nothing else may import it. A stop sent to the whole process group must not
end the fork server, since that would kill the step that is about to commit its batch.
"""

from __future__ import annotations

import signal

from pipeline.lifeline import die_with_parent

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
die_with_parent()
