// The journal, the queues and the payloads. Identities only: shared keys are off.
param location string
param tags object
param token string
param appPrincipalId string

@description('Pipelines: objects with principalId and principalType.')
param submitters array

param sku string
param privateNetworking bool

var publicAccess = privateNetworking ? 'Disabled' : 'Enabled'
var publicAction = privateNetworking ? 'Deny' : 'Allow'

var containers = ['app-package', 'payloads']
var queues = ['deployments', 'deployments-poison', 'deployment-steps', 'deployment-steps-poison', 'deployment-notices', 'deployment-notices-poison']
var tables = ['journal', 'deployments', 'deploymentsbytime', 'locks', 'breakers', 'rates', 'signals', 'deployed']

var roles = {
  blobOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  blobContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  queueContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  queueMessageSender: 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  tableContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  tableReader: '76199698-9eea-4c19-bc75-cec21354c6b6'
}

// The Functions host stores its own locks and the package in blobs; its documentation requires the owner role for that.
var appRoles = [roles.blobOwner, roles.queueContributor, roles.tableContributor]

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_43:The name is 'st' and the 13 letters and digits of uniqueString, which the check does not evaluate.
  // checkov:skip=CKV_AZURE_206:Three zones by default; a second region (GRS, GZRS) is a parameter.
  // checkov:skip=CKV_AZURE_35:Denied with privateNetworking=true; otherwise pipelines on hosted runners need access, with an identity.
  name: 'st${token}'
  location: location
  tags: tags
  sku: { name: sku }
  kind: 'StorageV2'
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: publicAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicAction
    }
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [for name in containers: {
  parent: blobService
  name: name
  properties: { publicAccess: 'None' }
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

resource appMayUse 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appRoles: {
  name: guid(account.id, appPrincipalId, role)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

// A pipeline may put messages on `deployments`, store large manifests in `payloads`, and read `journal` and `deployments`.
// It may neither read a message, nor write a row, nor create or delete a queue, a table or a container.
resource maySubmit 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for submitter in submitters: {
  name: guid(queue[0].id, submitter.principalId, roles.queueMessageSender)
  scope: queue[0]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueMessageSender)
    principalId: submitter.principalId
    principalType: submitter.principalType
  }
}]

resource mayStore 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for submitter in submitters: {
  name: guid(container[1].id, submitter.principalId, roles.blobContributor)
  scope: container[1]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobContributor)
    principalId: submitter.principalId
    principalType: submitter.principalType
  }
}]

resource mayReadJournal 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for submitter in submitters: {
  name: guid(table[0].id, submitter.principalId, roles.tableReader)
  scope: table[0]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableReader)
    principalId: submitter.principalId
    principalType: submitter.principalType
  }
}]

resource mayReadDeployments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for submitter in submitters: {
  name: guid(table[1].id, submitter.principalId, roles.tableReader)
  scope: table[1]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableReader)
    principalId: submitter.principalId
    principalType: submitter.principalType
  }
}]

output accountName string = account.name
output blobUri string = account.properties.primaryEndpoints.blob
output queueUri string = account.properties.primaryEndpoints.queue
output tableUri string = account.properties.primaryEndpoints.table
