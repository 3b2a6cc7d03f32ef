"""What the workers of a run have in common. The process that they are forked from imports this module once, and each
of them begins with it loaded."""

import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run alone hears Ctrl-C, also while these imports last

import open_clip  # noqa: E402, F401
import prefect.task_engine  # noqa: E402, F401

import salmu.flows.running.shards  # noqa: E402, F401

gc.collect()
gc.freeze()  # the collector would touch, and so copy, memory that the workers share
