// Everything that Fabric Saga needs in a subscription: `azd up`.
targetScope = 'subscription'

@description('Name of the environment; every resource is named after it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Azure region.')
param location string

@description('Object id of the identity that submits and follows deployments (a pipeline). Empty: grant it yourself.')
param submitterPrincipalId string = ''

@description('What that identity is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param submitterPrincipalType string = 'ServicePrincipal'

@description('Most instances at once; bounds the load on Fabric.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 10

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    submitterPrincipalId: submitterPrincipalId
    submitterPrincipalType: submitterPrincipalType
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: { location: location, tags: tags, token: token }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    location: location
    tags: union(tags, { 'azd-service-name': 'saga' })
    token: token
    storageAccountName: storage.outputs.accountName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    maximumInstanceCount: maximumInstanceCount
  }
}

output AZURE_LOCATION string = location
output AZURE_FUNCTION_NAME string = app.outputs.name
output AZURE_FUNCTION_HOST string = app.outputs.hostName
output FABRIC_SAGA_IDENTITY_CLIENT_ID string = app.outputs.identityClientId
output AzureWebJobsStorage__blobServiceUri string = storage.outputs.blobUri
output AzureWebJobsStorage__queueServiceUri string = storage.outputs.queueUri
output AzureWebJobsStorage__tableServiceUri string = storage.outputs.tableUri
