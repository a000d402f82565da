// The journal, the queues and the payloads. Identities only: shared keys are off.
param location string
param tags object
param token string
param submitterPrincipalId string
param submitterPrincipalType string

var containers = ['app-package', 'payloads']
var queues = ['deployments', 'deployments-poison', 'deployment-steps', 'deployment-steps-poison']
var tables = ['journal', 'deployments', 'deploymentsbytime', 'locks', 'breakers']

var roles = {
  queueMessageSender: 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  tableReader: '76199698-9eea-4c19-bc75-cec21354c6b6'
  blobContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
}

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: 'st${token}'
  location: location
  tags: tags
  sku: { name: 'Standard_ZRS' }
  kind: 'StorageV2'
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [for name in containers: {
  parent: blobService
  name: name
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [for name in queues: {
  parent: queueService
  name: name
}]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [for name in tables: {
  parent: tableService
  name: name
}]

// A pipeline may put messages and large manifests, and read the journal; it may neither read messages nor write rows.
resource mayEnqueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(submitterPrincipalId)) {
  name: guid(account.id, submitterPrincipalId, roles.queueMessageSender)
  scope: queue[0]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueMessageSender)
    principalId: submitterPrincipalId
    principalType: submitterPrincipalType
  }
}

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(submitterPrincipalId)) {
  name: guid(account.id, submitterPrincipalId, roles.tableReader)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableReader)
    principalId: submitterPrincipalId
    principalType: submitterPrincipalType
  }
}

resource mayStore 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(submitterPrincipalId)) {
  name: guid(account.id, submitterPrincipalId, roles.blobContributor)
  scope: container[1]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobContributor)
    principalId: submitterPrincipalId
    principalType: submitterPrincipalType
  }
}

output accountName string = account.name
output blobUri string = account.properties.primaryEndpoints.blob
output queueUri string = account.properties.primaryEndpoints.queue
output tableUri string = account.properties.primaryEndpoints.table
