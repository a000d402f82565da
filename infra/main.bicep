// All resources that Fabric Saga needs in a subscription; `azd up` creates them.
targetScope = 'subscription'

@description('Name of the environment; every resource is named after it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Azure region.')
param location string

@description('Object id of an identity that submits and follows deployments (a pipeline). Empty: none, or the identity that is created for githubSubject.')
param submitterPrincipalId string = ''

@description('Type of that identity.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param submitterPrincipalType string = 'ServicePrincipal'

@description('Name of a GitHub repository as its tokens contain it, repo:owner@id/name@id. Creates an identity that its workflows sign in as, without a secret. Empty: none.')
param githubSubject string = ''

@description('GitHub environment whose jobs may sign in.')
param githubEnvironment string = 'production'

@description('Maximum number of instances of each group of functions that scales by itself; each queue has one group. Some regions refuse less than 40. RATE_PER_MINUTE limits the load on Fabric.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are always ready to accept submissions. 0: the first submission after a quiet time waits for a cold start.')
@minValue(0)
@maxValue(10)
param alwaysReadyAccept int = 0

@description('Instances that are always ready to execute steps. 0: the first step after a quiet time waits for a cold start.')
@minValue(0)
@maxValue(10)
param alwaysReadySteps int = 0

@description('Replication of the storage account; across zones (ZRS, GZRS) only if the region has zones.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_ZRS'

@description('Days that an ended deployment stays in the journal; its audit is never deleted.')
@minValue(1)
@maxValue(3650)
param journalRetentionDays int = 90

@description('Days that Log Analytics keeps logs and events.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Maximum ingestion into Log Analytics a day, in GB; above it nothing is recorded until the next day.')
@minValue(1)
param logDailyQuotaGb int = 5

@description('Address that alerts are mailed to. Empty: alerts fire, and no mail is sent.')
param alertEmail string = ''

@description('Where orchestrations are stored: the storage account, or a separate Durable Task Scheduler.')
@allowed(['AzureStorage', 'DurableTaskScheduler'])
param durableBackend string = 'AzureStorage'

@description('Client id of the app registration in Entra that signs in callers of the HTTP API, with the app roles of docs/sign-in.md. Empty: callers have a function key.')
param signInClientId string = ''

@description('true: storage and Key Vault accept connections through private endpoints only. A pipeline then needs a runner in that network.')
param privateNetworking bool = false

@description('Address space of that network.')
param networkPrefix string = '10.74.0.0/24'

@description('Subnet for outgoing connections of the app; a /27 or larger.')
param appSubnetPrefix string = '10.74.0.0/26'

@description('Subnet of the private endpoints.')
param endpointSubnetPrefix string = '10.74.0.64/26'

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { location: location, tags: tags, token: token }
}

module pipeline 'modules/pipeline.bicep' = if (!empty(githubSubject)) {
  name: 'pipeline'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    githubSubject: githubSubject
    githubEnvironment: githubEnvironment
  }
}

var givenSubmitters = empty(submitterPrincipalId) ? [] : [
  { principalId: submitterPrincipalId, principalType: submitterPrincipalType }
]
var madeSubmitters = empty(githubSubject) ? [] : [
  { principalId: pipeline!.outputs.principalId, principalType: 'ServicePrincipal' }
]

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    appPrincipalId: identity.outputs.principalId
    submitters: concat(givenSubmitters, madeSubmitters)
    sku: storageSku
    privateNetworking: privateNetworking
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    appPrincipalId: identity.outputs.principalId
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    appPrincipalId: identity.outputs.principalId
    logsName: monitoring.outputs.logsName
    privateNetworking: privateNetworking
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    prefix: networkPrefix
    appPrefix: appSubnetPrefix
    endpointPrefix: endpointSubnetPrefix
    storageAccountName: storage.outputs.accountName
    vaultName: vault.outputs.name
  }
}

module scheduler 'modules/scheduler.bicep' = if (durableBackend == 'DurableTaskScheduler') {
  name: 'scheduler'
  scope: group
  params: { location: location, tags: tags, token: token, appPrincipalId: identity.outputs.principalId }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    location: location
    tags: union(tags, { 'azd-service-name': 'saga' })
    token: token
    identityName: identity.outputs.name
    storageAccountName: storage.outputs.accountName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    vaultName: vault.outputs.name
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    schedulerEndpoint: durableBackend == 'DurableTaskScheduler' ? scheduler!.outputs.endpoint : ''
    taskHubName: durableBackend == 'DurableTaskScheduler' ? scheduler!.outputs.taskHubName : ''
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyAccept: alwaysReadyAccept
    alwaysReadySteps: alwaysReadySteps
    journalRetentionDays: journalRetentionDays
    signInClientId: signInClientId
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    logsName: monitoring.outputs.logsName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    healthUrl: 'https://${app.outputs.hostName}/api/health/ready'
    alertEmail: alertEmail
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_FUNCTION_NAME string = app.outputs.name
output AZURE_FUNCTION_HOST string = app.outputs.hostName
output KEY_VAULT_URL string = vault.outputs.url
output FABRIC_SAGA_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output FABRIC_SAGA_PIPELINE_CLIENT_ID string = empty(githubSubject) ? '' : pipeline!.outputs.clientId
output AzureWebJobsStorage__blobServiceUri string = storage.outputs.blobUri
output AzureWebJobsStorage__queueServiceUri string = storage.outputs.queueUri
output AzureWebJobsStorage__tableServiceUri string = storage.outputs.tableUri
