#!/bin/sh
# Remove from a directory of Spark's jars what jars-dropped.txt names: slim-jars.sh JARS LIST
set -eu
jars=$1 list=$2
grep -v -e '^#' -e '^$' "$list" | while read -r pattern; do
  set -- "$jars"/$pattern
  [ -e "$1" ] || { echo "$list: $pattern matches no jar" >&2; exit 1; }
  rm -r "$@"
done
