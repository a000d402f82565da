// The function app on Flex Consumption, and its settings.
param location string
param tags object
param token string
param identityName string
param storageAccountName string
param applicationInsightsName string
param vaultName string

@description('Subnet for outgoing connections of the app. Empty: none.')
param subnetId string

@description('Address of a Durable Task Scheduler. Empty: orchestrations are stored in the storage account.')
param schedulerEndpoint string

param taskHubName string
param maximumInstanceCount int
param alwaysReadyAccept int
param alwaysReadySteps int
param journalRetentionDays int

@description('Client id of the app registration that signs in callers. Empty: callers have a function key.')
param signInClientId string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

// Orchestrations go on at once; the groups of the queues' functions are optional, because each instance costs as much again.
var alwaysReady = [
  { name: 'durable', instanceCount: 1 }
]
var alwaysReadyForSubmissions = alwaysReadyAccept == 0 ? [] : [
  { name: 'function:accept_deployment', instanceCount: alwaysReadyAccept }
]
var alwaysReadyForSteps = alwaysReadySteps == 0 ? [] : [
  { name: 'function:execute_step', instanceCount: alwaysReadySteps }
]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  // checkov:skip=CKV_AZURE_225:Zone redundancy is a choice of price and region; the journal survives the loss of every instance.
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  // checkov:skip=CKV_AZURE_222:The HTTP API is for pipelines and operators outside; every route except health and the page needs a key.
  // checkov:skip=CKV_AZURE_17:Callers have a function key, not a client certificate.
  // checkov:skip=CKV_AZURE_78:Flex Consumption has no FTP, and Azure refuses an app there that sets ftpsState (error 51021).
  // checkov:skip=CKV_AZURE_212:Flex Consumption adds instances by itself; one instance is always ready for orchestrations.
  // checkov:skip=CKV_AZURE_213:A probe of each instance is for plans with permanent instances; the availability test checks the app as a whole.
  name: 'func-${token}'
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: { minTlsVersion: '1.2', http20Enabled: true }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${account.properties.primaryEndpoints.blob}app-package'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: 2048
        alwaysReady: concat(alwaysReady, alwaysReadyForSubmissions, alwaysReadyForSteps)
        // The default for Python is one request at a time, so each parallel request of the page could start an instance.
        triggers: { http: { perInstanceConcurrency: 16 } }
      }
    }
  }
}

// The long names replace values of host.json: the durableTask section of an app with a scheduler.
var schedulerSettings = {
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: 'Endpoint=${schedulerEndpoint};Authentication=ManagedIdentity;ClientID=${identity.properties.clientId}'
  AzureFunctionsJobHost__extensions__durableTask__hubName: taskHubName
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__type: 'azureManaged'
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName: 'DURABLE_TASK_SCHEDULER_CONNECTION_STRING'
}

var appSettings = {
  AzureWebJobsStorage__blobServiceUri: account.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: account.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: account.properties.primaryEndpoints.table
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  AZURE_CLIENT_ID: identity.properties.clientId
  AZURE_TENANT_ID: tenant().tenantId
  FABRIC_CREDENTIAL: 'managed_identity'
  KEY_VAULT_URL: vault.properties.vaultUri
  SWEEP_SCHEDULE: '0 */5 * * * *'
  RETENTION_SECONDS: string(journalRetentionDays * 86400)
  FEATURE_USE_SECRET_MANAGER: 'true'
  FEATURE_USE_AZURE_KEYVAULT: 'true'
  FEATURE_USE_RETRY_LOGIC: 'true'
  FEATURE_USE_CIRCUIT_BREAKER: 'true'
  FEATURE_USE_ROLLBACK: 'true'
  FEATURE_USE_TELEMETRY: 'true'
  FEATURE_USE_HEALTH_CHECKS: 'true'
  PYTHON_THREADPOOL_THREAD_COUNT: '96'
  AzureWebJobsDisableHomepage: 'true'
  TELEMETRY_EXPORTER: 'opentelemetry'
  SIGN_IN_CLIENT_ID: signInClientId
  SIGN_IN_TENANT_ID: empty(signInClientId) ? '' : tenant().tenantId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  // checkov:skip=CKV_AZURE_222:This is the list of settings, not a web configuration; the checks below take it for one.
  // checkov:skip=CKV_AZURE_13:See above.
  // checkov:skip=CKV_AZURE_63:See above; HTTP is logged by Application Insights.
  // checkov:skip=CKV_AZURE_65:See above.
  // checkov:skip=CKV_AZURE_66:See above.
  // checkov:skip=CKV_AZURE_80:See above; the app does not use .NET.
  // checkov:skip=CKV_AZURE_88:See above; Flex Consumption runs from a package in a container.
  parent: app
  name: 'appsettings'
  properties: union(appSettings, empty(schedulerEndpoint) ? {} : schedulerSettings)
}

// It signs browsers in and passes on their tokens. The app itself verifies every token and refuses callers, so requests
// without one reach it: health and the page's files need none.
resource signIn 'Microsoft.Web/sites/config@2024-11-01' = if (!empty(signInClientId)) {
  // checkov:skip=CKV_AZURE_222:This is the sign-in, not a web configuration; the checks below take it for one.
  // checkov:skip=CKV_AZURE_13:See above; this resource is what the check asks for.
  // checkov:skip=CKV_AZURE_63:See above; HTTP is logged by Application Insights.
  // checkov:skip=CKV_AZURE_65:See above.
  // checkov:skip=CKV_AZURE_66:See above.
  // checkov:skip=CKV_AZURE_80:See above; the app does not use .NET.
  // checkov:skip=CKV_AZURE_88:See above; Flex Consumption runs from a package in a container.
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: { requireAuthentication: false, unauthenticatedClientAction: 'AllowAnonymous' }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: signInClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: { allowedAudiences: [signInClientId, 'api://${signInClientId}'] }
      }
    }
    login: { tokenStore: { enabled: true } }
  }
}

output name string = app.name
output hostName string = app.properties.defaultHostName
