#!/usr/bin/env bash
# A gate for CI: stops a release whose model would give wrong or batch-dependent output.
#
#   examples/gate.sh model.safetensors
#   examples/gate.sh model.pt --trust --input 1x3x224x224
#
# The report goes to bnlint-report.json for the build's artifacts. Exit codes of bnlint, whatever the format:
# 0 nothing found in what was looked at, 1 findings at or above --fail-on, 2 wrong usage, 3 something asked for could not be analysed.
set -uo pipefail

bnlint check "$@" --fail-on error --format json > bnlint-report.json
code=$?
case $code in
  0) echo "bnlint: no error; what could not be looked at is under not_run in bnlint-report.json" ;;
  1) echo "bnlint: do not release this model, see bnlint-report.json" ;;
  3) echo "bnlint: the model could not be looked at, which is not the same as clean" ;;
  *) echo "bnlint: the gate itself is set up wrongly" ;;
esac
exit $code
