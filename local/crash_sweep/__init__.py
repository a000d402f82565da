"""The crash sweep: kill the host at every boundary of a deployment, and compare the result with the expected one.

A boundary is one exchange between the host and storage, Fabric or the durable engine. The host is killed before and
after the effect of the exchange. A boundary is identified by the name of the exchange and its number among the
exchanges of that name: steps run in parallel, so the position among all exchanges would differ between runs.
"""
