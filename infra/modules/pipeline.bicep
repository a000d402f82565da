// The identity of a GitHub workflow. Jobs of one environment of one repository sign in with GitHub's own token, without a secret.
param location string
param tags object
param token string

@description('Start of the subject in the tokens of the repository: repo:owner@id/name@id, or repo:owner/name for a repository from before July 2026.')
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
