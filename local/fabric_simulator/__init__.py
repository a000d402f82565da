"""A simulator of the Fabric REST API: a pure model (no I/O, no clock of its own) and an HTTP shell around it.

Calibrated by recorded traffic of microsoft/fabric-cli and checked against the published OpenAPI. What neither backs
(name conflicts on items, failed operations, 5xx, a reserved name) is synthetic, and its answers say so in the header
`x-sim-synthetic`.
"""
