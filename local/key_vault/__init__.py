"""Stand-ins for one Key Vault, Entra's token endpoint, and a function app's identity endpoint, on loopback over TLS.

The real SDKs (azure-keyvault-secrets, azure-identity, MSAL) call them. Requests and responses follow the published REST
references; nothing is recorded, so everything here is synthetic.
"""
