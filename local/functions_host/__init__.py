"""An Azure Functions host for one machine: loads function_app.py through Microsoft's own worker library and drives
its triggers (queues, timers, HTTP, durable work items) on Azurite and durabletask's engine.

What differs from the real host: one process serves everything (no scale-out), the engine's state is a SQLite file,
letters of a route's literal parts must match in case, /admin/host/metrics exists,
bindings other than those triggers and queue outputs are not served, and a sync function that exceeds
functionTimeout is failed but its thread is not killed.
"""
