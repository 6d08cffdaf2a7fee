"""The control plane: the EdgeETLJob operator and the edge-etl command."""
