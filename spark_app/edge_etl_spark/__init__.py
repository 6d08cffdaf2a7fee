"""The aggregation: merges the nodes' results into one table with Spark."""
