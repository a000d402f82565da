"""A repository of Fabric items in Git, in Fabric's source-control format, and what a deployment makes of it.

`scan` reads a directory (with `files`, the only module that opens one). All else computes: `parameters` reads the text
of parameter.yml, `compiled` chooses what it replaces in each part, `render` replaces it, `references` finds what each
item needs, `order` sorts the items and cuts cycles, `normalise` and `difference` compare definitions, and `config`
reads the text of a configuration of fabric-cicd.
"""
