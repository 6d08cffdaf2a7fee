"""The edge program: cleans one node's sensor CSV and delivers the result."""
