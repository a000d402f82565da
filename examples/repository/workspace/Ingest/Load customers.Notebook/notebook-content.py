# Fabric notebook source

# METADATA ********************

# META {
# META   "dependencies": {
# META     "lakehouse": {
# META       "default_lakehouse": "5a1e0000-0000-4000-8000-000000000001",
# META       "default_lakehouse_name": "sales",
# META       "default_lakehouse_workspace_id": "00000000-0000-0000-0000-000000000000"
# META     },
# META     "environment": {
# META       "environmentId": "5a1e0000-0000-4000-8000-000000000002",
# META       "workspaceId": "00000000-0000-0000-0000-000000000000"
# META     }
# META   }
# META }

# CELL ********************

customers = spark.read.parquet("Files/dev-landing/customers")
customers.write.mode("overwrite").saveAsTable("customers")
