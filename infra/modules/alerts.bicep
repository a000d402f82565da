// What calls a person, whom it calls, and the page that shows how things stand. docs/runbook.md says what to do.
param location string
param tags object
param token string
param logsName string
param applicationInsightsName string
param healthUrl string
param alertEmail string

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: logsName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'fabricsaga'
    enabled: true
    emailReceivers: empty(alertEmail) ? [] : [
      { name: 'operators', emailAddress: alertEmail, useCommonAlertSchema: true }
    ]
  }
}

// The app's events, of either exporter; each query below goes on from there.
var events = loadTextContent('../queries/events.kql')

// `resolves`: the alert is closed by itself when the query finds nothing any more; the others are raised anew each time.
var rules = [
  {
    name: 'breaker-opened'
    title: 'A circuit breaker opened: a part of Fabric does not answer, and its steps wait'
    severity: 2
    window: 'PT5M'
    every: 'PT5M'
    resolves: true
    query: loadTextContent('../queries/breaker-opened.kql')
  }
  {
    name: 'rollback-started'
    title: 'A deployment failed and is being put back'
    severity: 3
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/rollback-started.kql')
  }
  {
    name: 'compensation-failed'
    title: 'A step could not be put back'
    severity: 1
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/compensation-failed.kql')
  }
  {
    name: 'deployment-stuck'
    title: 'A deployment is stuck, or has not ended within four hours'
    severity: 1
    window: 'P1D'
    every: 'PT30M'
    resolves: true
    query: loadTextContent('../queries/deployment-stuck.kql')
  }
  {
    name: 'deployment-held'
    title: 'A deployment failed and is held as it is: somebody must decide'
    severity: 2
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/deployment-held.kql')
  }
  {
    name: 'retry-rate'
    title: 'More than a tenth of the calls to Fabric were tried again'
    severity: 3
    window: 'PT15M'
    every: 'PT5M'
    resolves: true
    query: loadTextContent('../queries/retry-rate.kql')
  }
  {
    name: 'orphan-found'
    title: 'A resource was found that no deployment accounts for'
    severity: 2
    window: 'PT15M'
    every: 'PT15M'
    resolves: false
    query: loadTextContent('../queries/orphan-found.kql')
  }
  {
    name: 'poison-message'
    title: 'Every delivery of a message failed'
    severity: 1
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/poison-message.kql')
  }
  {
    name: 'health-failed'
    title: 'The app says of itself that it cannot do its work'
    severity: 1
    window: 'PT5M'
    every: 'PT5M'
    // Its event is sent once a change: that none came lately does not say that all is well. `unavailable` tells that.
    resolves: false
    query: loadTextContent('../queries/health-failed.kql')
  }
]

resource alert 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: 'sqr-${rule.name}-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'fabric-saga: ${rule.name}'
    description: '${rule.title}. What to do: docs/runbook.md.'
    severity: rule.severity
    enabled: true
    scopes: [logs.id]
    // In a new workspace a table may be missing until the first event comes.
    skipQueryValidation: true
    evaluationFrequency: rule.every
    windowSize: rule.window
    criteria: {
      allOf: [
        {
          query: '${events}${rule.query}'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    autoMitigate: rule.resolves
    actions: { actionGroups: [people.id] }
  }
}]

// From outside, every five minutes from each of three places: the app, its storage and its identity answer.
resource ready 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'ready-${token}'
  location: location
  kind: 'standard'
  tags: union(tags, { 'hidden-link:${insights.id}': 'Resource' })
  properties: {
    SyntheticMonitorId: 'ready-${token}'
    Name: 'ready'
    Enabled: true
    Kind: 'standard'
    Frequency: 300
    Timeout: 30
    RetryEnabled: true
    Locations: [
      { Id: 'emea-nl-ams-azr' }
      { Id: 'emea-gb-db3-azr' }
      { Id: 'us-va-ash-azr' }
    ]
    Request: { RequestUrl: healthUrl, HttpVerb: 'GET', ParseDependentRequests: false }
    ValidationRules: { ExpectedHttpStatusCode: 200, SSLCheck: true, SSLCertRemainingLifetimeCheck: 7 }
  }
}

resource unavailable 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'ma-unavailable-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The app does not answer from two places of three. What to do: docs/runbook.md.'
    severity: 1
    enabled: true
    scopes: [ready.id, insights.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: ready.id
      componentId: insights.id
      failedLocationCount: 2
    }
    autoMitigate: true
    actions: [
      { actionGroupId: people.id }
    ]
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'fabric-saga')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Fabric Saga'
    category: 'workbook'
    sourceId: logs.id
    serializedData: loadTextContent('../workbook.json')
  }
}
