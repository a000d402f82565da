// The alerts, the people whom they notify, and the workbook. docs/runbook.md says what to do.
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

// The app's events, from both exporters; each query below continues from here.
var events = loadTextContent('../queries/events.kql')

// `resolves`: the alert closes by itself when the query returns nothing; the other alerts fire again each time.
var rules = [
  {
    name: 'breaker-opened'
    title: 'A circuit breaker opened: an area of Fabric does not respond, and its steps wait'
    severity: 2
    window: 'PT5M'
    every: 'PT5M'
    resolves: true
    query: loadTextContent('../queries/breaker-opened.kql')
  }
  {
    name: 'rollback-started'
    title: 'A deployment failed and is being rolled back'
    severity: 3
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/rollback-started.kql')
  }
  {
    name: 'compensation-failed'
    title: 'A step could not be compensated'
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
    title: 'A deployment failed and is held: a person must decide'
    severity: 2
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/deployment-held.kql')
  }
  {
    name: 'approval-waiting'
    title: 'A step waits for a person to approve or refuse it'
    severity: 3
    window: 'PT5M'
    every: 'PT5M'
    resolves: false
    query: loadTextContent('../queries/approval-waiting.kql')
  }
  {
    name: 'drift-found'
    title: 'A target differs from its last successful deployment'
    severity: 3
    window: 'PT15M'
    every: 'PT15M'
    resolves: false
    query: loadTextContent('../queries/drift-found.kql')
  }
  {
    name: 'notification-failed'
    title: 'The webhook of notifications did not take an event'
    severity: 3
    window: 'PT15M'
    every: 'PT15M'
    resolves: false
    query: loadTextContent('../queries/notification-failed.kql')
  }
  {
    name: 'retry-rate'
    title: 'More than a tenth of the calls to Fabric were retried'
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
    title: 'The app reports that it cannot do its work'
    severity: 1
    window: 'PT5M'
    every: 'PT5M'
    // The event is emitted once for each change, so its absence does not prove health. `unavailable` checks health itself.
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
    // In a new workspace a table may be missing until the first event arrives.
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

// A test from outside, every five minutes from each of three locations: the app, its storage and its identity respond.
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
    description: 'The app does not respond from two of three locations. What to do: docs/runbook.md.'
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
