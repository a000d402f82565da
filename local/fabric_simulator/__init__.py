"""A simulator of the Fabric REST API: a pure model (no I/O, no own clock) and an HTTP server around it.

It is calibrated by recorded traffic of microsoft/fabric-cli and checked against the published OpenAPI. Behaviour that
neither of them shows (name conflicts on items, failed operations, 5xx, a reserved name) is synthetic; such responses
have the header `x-sim-synthetic`.
"""
