"""Fabric Saga: transactional deployments to Microsoft Fabric. The package that runs in Azure.

The rooms, and who may import whom ("A <- B": A may import B; held by tests/test_architecture.py):

    domain              <- nothing                      pure decisions: no I/O, no clock, no ids
    steps, adapters     <- domain                       Fabric's kinds / the outside things
    saga, web           <- domain, steps                the engine / its HTTP face
    settings            <- domain                       the only reader of the environment
    bootstrap           <- all of the above             the composition root
    resilience          <- bootstrap, adapters          the circuit breakers, for operators and monitors
    cli, client         <- bootstrap, saga, web, domain what CI and operators run

`azure.functions` and `azure.durable_functions` appear only in function_app.py, other `azure.*` only in adapters.
"""
