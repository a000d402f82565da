"""The crash sweep: the host is killed at every boundary of a deployment, before and after its effect, and each time
what stands in the end is compared with what must.

A boundary is one exchange between the host and the outside: storage, Fabric, or the durable engine. It is known by
its name and by which exchange of that name it is, for runs are concurrent and a plain count would not repeat.
"""
