#!/bin/sh
# Remove from an installed pyarrow what the edge program never loads: RPC, cloud file systems,
# headers, tests, and copies of libraries that are loaded by another name.
set -eu
cd "$1"
rm -rf include src tests
rm -f _flight.* libarrow_flight.* libarrow_python_flight.*
rm -f _s3fs.* libarrow_s3.* _gcsfs.* _azurefs.* _hdfs.* _pyarrow_cpp_tests.*
rm -f libarrow_python*.so libarrow_python*.so.*.*.*
find . \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' \) -delete
