"""The edge agent: takes readings in over REST and MQTT, and keeps them as CSV on its Pi.

What it has acknowledged is on the disk, exactly once, whatever dies at whatever moment. The files
lie in a source of the node, where EdgeETLJobs read them like any others.
"""
