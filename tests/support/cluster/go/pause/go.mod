module pi-edge-spark/testcluster/pause

go 1.26
