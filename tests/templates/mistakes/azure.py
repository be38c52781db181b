"""Mistakes in the ARM template: what is wrong, the text to replace, which must be there once, and its replacement."""

MISTAKES = [
    ("a property name is misspelt", '"minimumTlsVersion"', '"minimalTlsVersion"'),
    ("an unknown TLS version", '"TLS1_2"', '"TLS12"'),
    ("an outdated TLS version", '"TLS1_2"', '"TLS1_0"'),
    ("plain HTTP is let in", '"supportsHttpsTrafficOnly": true', '"supportsHttpsTrafficOnly": false'),
    ("blobs may be public", '"allowBlobPublicAccess": false', '"allowBlobPublicAccess": true'),
    ("a truth value in quotes", '"allowBlobPublicAccess": false', '"allowBlobPublicAccess": "false"'),
    ("an unknown redundancy", '"Standard_GZRS"', '"Standard_GZS"'),
    ("an unknown kind of account", '"StorageV2"', '"StorageV3"'),
    (
        "a resource type that does not exist",
        '"type": "Microsoft.Storage/storageAccounts/tableServices",',
        '"type": "Microsoft.Storage/storageAccounts/tables",',
    ),
    (
        "the state table is missing",
        "parameters('storageAccountName'), parameters('stateTable'))]",
        "parameters('storageAccountName'), parameters('leadTable'))]",
    ),
    ("another table than the functions read", '"defaultValue": "MarketplaceLeads"', '"defaultValue": "Leads"'),
    (
        "a parameter that does not exist",
        '"location": "[parameters(\'location\')]"',
        '"location": "[parameters(\'region\')]"',
    ),
    (
        "a parenthesis is missing",
        "\"[not(empty(parameters('logAnalyticsWorkspaceId')))]\"",
        "\"[not(empty(parameters('logAnalyticsWorkspaceId'))]\"",
    ),
    ("a log category that does not exist", '"StorageDelete"', '"StorageRemove"'),
    (
        "the key in an output",
        "\"[reference(resourceId('Microsoft.Storage/storageAccounts', parameters('storageAccountName')), '2024-01-01').primaryEndpoints.table]\"",
        "\"[listKeys(resourceId('Microsoft.Storage/storageAccounts', parameters('storageAccountName')), '2024-01-01').keys[0].value]\"",
    ),
    ("the account's keys are switched off", '"allowSharedKeyAccess": true', '"allowSharedKeyAccess": false'),
]
