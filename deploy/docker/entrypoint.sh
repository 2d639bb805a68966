#!/bin/sh
# The image's entry point. What is given may be a program with its arguments, as with etcd's image (`etcd --name a`, `etcdctl get key`), or
# etcd's flags alone. The program takes this shell's place, so the member is process 1.
case "${1-}" in
  "" | -*) set -- etcd "$@" ;;
esac
exec "$@"
