"""Stand-ins on loopback, over TLS, of what the app takes its secrets from and signs in with: one Key Vault, Entra's
token endpoint, and the identity endpoint that a function app has in Azure.

The real SDKs talk to them (azure-keyvault-secrets, azure-identity, MSAL). Forms are those of the published REST
references; nothing here is recorded, so all of it is synthetic.
"""
