"""One delivery of a step message: forward, backward, and the calls to Fabric."""
