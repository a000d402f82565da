"""An Azure Functions host for one machine.

It loads function_app.py with Microsoft's own worker library, and serves its triggers (queues, timers, HTTP, durable
work items) with Azurite and durabletask's engine. It differs from the real host in these points:

- Nothing scales by itself. One process serves everything, or, with FUNCTIONS_TARGET_GROUP, one group of functions.
- The engine's state is a SQLite file; several hosts share one as their task hub (shared_engine.py).
- The literal parts of a route are case-sensitive.
- /admin/host/metrics exists.
- Other bindings than these triggers and queue outputs are not served.
- A synchronous function that exceeds functionTimeout is failed, but its thread is not killed. The real host restarts
  the worker, which ends the other invocations too.
"""
