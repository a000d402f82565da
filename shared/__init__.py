"""Fabric Saga: transactional deployments to Microsoft Fabric. The package that runs in Azure.

The rooms, and who may import whom ("A <- B": A may import B; tests/test_architecture.py reads this table and holds it):

    domain      <- nothing                                   pure decisions: no I/O, no clock, no ids, no chance
    repository  <- domain                                    a repository of items in Git, and what is sent of it
    steps       <- domain, repository                        Fabric's kinds
    logs        <- domain                                    what makes every log line safe
    tracing     <- domain                                    the span that a thread is in, and operations
    adapters    <- domain, tracing                           the outside things: storage, Fabric, the durable engine
    settings    <- domain                                    the only reader of the environment
    saga        <- domain, steps, repository, tracing        the engine
    bootstrap   <- domain, steps, saga, settings, adapters, logs  the composition root; adapters only inside functions
    telemetry   <- domain, tracing, bootstrap                events, metrics and spans, for the triggers and for scripts
    entry       <- domain, saga, bootstrap, telemetry        from a trigger to the saga
    health      <- domain, saga, settings, bootstrap, telemetry  the answers of the health routes
    scripting   <- domain, steps, saga, settings, adapters, bootstrap, telemetry  what Python programs import
    cli         <- domain, steps, repository, saga, settings, bootstrap  what CI and operators run
    web         <- domain, steps, saga, settings, bootstrap  the HTTP API and the page

function_app.py imports entry, health, saga and web. `azure.functions` and `azure.durable_functions` appear only
there and in shared/web/routes.py; other `azure.*` only in adapters, and inside functions in bootstrap.
"""
