// Who a GitHub workflow is: signed in by GitHub's own token, for jobs of one environment of one repository. There is no secret.
param location string
param tags object
param token string

@description('repo:owner@id/name@id, or of a repository from before July 2026 repo:owner/name: what its tokens begin with.')
param githubSubject string

param githubEnvironment string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-pipeline-${token}'
  location: location
  tags: tags
}

resource github 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: identity
  name: 'github'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: '${githubSubject}:environment:${githubEnvironment}'
    audiences: ['api://AzureADTokenExchange']
  }
}

output principalId string = identity.properties.principalId
output clientId string = identity.properties.clientId
