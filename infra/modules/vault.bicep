// Secrets that the app reads, if it needs any. People with their own role store them; nothing here does.
param location string
param tags object
param token string
param appPrincipalId string
param logsName string
param privateNetworking bool

var publicAccess = privateNetworking ? 'Disabled' : 'Enabled'
var publicAction = privateNetworking ? 'Deny' : 'Allow'

var roles = {
  secretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: logsName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_109:Denied with privateNetworking=true; otherwise callers with a role have access, and are logged.
  // checkov:skip=CKV_AZURE_189:Disabled with privateNetworking=true; see above.
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: publicAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicAction
    }
  }
}

// Logs who read which secret, and when.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: logs.id
    logs: [
      { categoryGroup: 'audit', enabled: true }
    ]
  }
}

resource appMayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, roles.secretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.secretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output name string = vault.name
output url string = vault.properties.vaultUri
