#!/bin/bash
# A kubectl of two releases before, v1.33: the scripts of kubectl's verbs once more.
here=$(dirname "$0")
if ! KUBECTL=$("$here/../../scripts/kubectl.sh" 1.33); then
  echo "not ok kubectl-1.33: scripts/kubectl.sh 1.33"
  exit 1
fi
export KUBECTL
unset HELM # apply.sh runs it otherwise
status=0
for script in apply verbs admin; do
  E2E_NAME=$script-1.33 "$here/$script.sh" || status=1
done
exit $status
