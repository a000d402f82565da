#!/usr/bin/env bash
# Submits a manifest, follows the deployment to its end and reports. The GitHub action and the Azure Pipelines template run this script.
#
# Inputs are variables, so that no value is ever pasted into a command line:
#   SAGA_MANIFEST      the file, or instead of it
#   SAGA_FABRIC_CICD   a configuration of fabric-cicd, and
#   SAGA_ENVIRONMENT   its environment
#   SAGA_CONFIG_OVERRIDE  values that replace some of that configuration: a file, or a mapping
#   SAGA_ROOT          a folder that contains everything the manifest names; default: the manifest's own
#   SAGA_ID            the deployment id; default: made of SAGA_RUN, the file's name and SAGA_ATTEMPT
#   SAGA_TIMEOUT       how long to follow (90s, 45m, 2h); default 45m
#   SAGA_SET           values of the manifest's inputs, one NAME=VALUE a line
#   SAGA_VALUES        files with values of its inputs, one a line
#   SAGA_LABELS        labels of the deployment, one NAME=VALUE a line
#   SAGA_MODE          deploy (default); plan: show what would change, and change nothing; or retire: roll back all deployments
#                      with these labels, newest first (then no manifest is needed)
#   SAGA_COMMENT       a file that gets the state, the steps and the timeline as Markdown: the comment of a pull request
#   SAGA_PAGE          the address of the app whose page the comment links to; default: FABRIC_SAGA_URL
#   SAGA_ON_CANCEL     what a cancelled job does: detach (default; the deployment continues), or cancel (it is rolled back)
#   SAGA_REQUESTED_BY  the requester, for the audit
#   SAGA_PYTHON        the interpreter; default python3
# and how the app is reached: AzureWebJobsStorage__{blob,queue,table}ServiceUri, the addresses of the storage account;
# or FABRIC_SAGA_URL, the app's address, with FABRIC_SAGA_SCOPE to sign in or FUNCTION_KEY.
#
# Exits with the exit code of the command line (docs/cli.md). Reports deployment-id, state and exit-code.
set -euo pipefail
set -m # The command gets its own process group, so that a cancelled job interrupts it only when this script does.

readonly BAD_REQUEST=2 CRASHED=70
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${SAGA_PYTHON:-python3}
# The pipeline signed in with the Azure CLI; no other credential is tried.
export AZURE_TOKEN_CREDENTIALS=${AZURE_TOKEN_CREDENTIALS:-AzureCliCredential}
export PYTHONPATH=$root PYTHONUNBUFFERED=1

# -P: do not import a folder `shared` of the directory in which the job runs.
saga() { "$python" -P -m shared.cli "$@"; }

# If the script ends without `finish`, the script itself failed. It then exits with a code that no deployment's result has.
is_ended=
finish() {
  is_ended=yes
  exit "$1"
}
# shellcheck disable=SC2329 # called by the trap
crashed() {
  if [[ -z $is_ended ]]; then
    printf 'error: the script itself failed; check the deployment (status ID) before running it again\n' >&2
    exit "$CRASHED"
  fi
}
trap crashed EXIT

refuse() {
  printf 'error: %s\n' "$1" >&2
  finish "$BAD_REQUEST"
}

# Runners execute commands in the log: ##[...] and ##vso[...] anywhere in a line, and on GitHub ::...:: at its start.
# The command line prints its own commands on standard output, where it escapes all other text. Standard error must contain none.
escape_runner_commands() {
  trap '' INT TERM # The writer is interrupted; this reads the rest of its output.
  sed -u -e 's/##/# #/g; s/##/# #/g' -e 's/^\([[:space:]]*\)::/\1: :/' >&2
}
exec 3>&1

# Print the state of a deployment; `none` if it does not exist. Fails if storage does not respond.
state_of() {
  local lines code=0
  lines=$(saga status --json -- "$1" 2>/dev/null) || code=$?
  if ((code == BAD_REQUEST)); then
    echo none
  elif ((code != 0)); then
    return "$code"
  else
    "$python" -c 'import json, sys; print(json.loads(sys.argv[1].splitlines()[-1])["deployment"]["state"])' "$lines" || return "$CRASHED"
  fi
}

# Print the deployment id. A job that is run again follows the deployment of its earlier attempt, or starts a new one if that was rolled back.
chosen_id() {
  local name base earlier state attempt=${SAGA_ATTEMPT:-1} n
  name=$(basename "$file")
  base=$(printf '%s-%s' "$SAGA_RUN" "${name%.*}" | tr -c 'A-Za-z0-9._-' '-' | cut -c 1-90)
  for ((n = attempt - 1; n >= 1; n--)); do
    earlier=$base$( ((n > 1)) && echo "-$n" || true)
    state=$(state_of "$earlier") || return
    case $state in
      none) continue ;;
      compensated | cancelled | rejected) break ;;
      *)
        echo "$earlier"
        return
        ;;
    esac
  done
  echo "$base$( ((attempt > 1)) && echo "-$attempt" || true)"
}

# output NAME VALUE: set an output of this step.
output() {
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; fi
  if [[ -n ${TF_BUILD:-} ]]; then printf '##vso[task.setvariable variable=%s;isOutput=true]%s\n' "${1//-/}" "$2"; fi
}

# report STATE CODE: end the step.
report() {
  output state "$1"
  output exit-code "$2"
  if [[ -n ${TF_BUILD:-} ]] && (($2 != 0)); then
    printf '##vso[task.logissue type=error]deployment %s: %s (exit code %s)\n' "${id:-(a plan)}" "$1" "$2"
  fi
  finish "$2"
}

mode=${SAGA_MODE:-deploy} file=${SAGA_MANIFEST:-${SAGA_FABRIC_CICD:-}}
case $mode in deploy | plan | retire) ;; *) refuse 'the mode is deploy, plan or retire' ;; esac
[[ -n $file || $mode == retire ]] || refuse 'no manifest is named'
[[ -n ${SAGA_LABELS:-} || $mode != retire ]] || refuse 'to retire, labels are needed'
[[ -z ${SAGA_MANIFEST:-} || -z ${SAGA_FABRIC_CICD:-} ]] || refuse 'a manifest and a configuration of fabric-cicd are named; give one of them'
case ${SAGA_ON_CANCEL:-detach} in detach | cancel) ;; *) refuse 'on-cancel is detach or cancel' ;; esac

given=()
if [[ -n ${SAGA_FABRIC_CICD:-} ]]; then given+=("--fabric-cicd=$SAGA_FABRIC_CICD"); fi
if [[ -n ${SAGA_ENVIRONMENT:-} ]]; then given+=("--environment=$SAGA_ENVIRONMENT"); fi
if [[ -n ${SAGA_CONFIG_OVERRIDE:-} ]]; then given+=("--config-override=$SAGA_CONFIG_OVERRIDE"); fi
if [[ -n ${SAGA_ROOT:-} ]]; then given+=("--root=$SAGA_ROOT"); fi
while IFS= read -r line; do [[ -z $line ]] || given+=("--values=$line"); done <<<"${SAGA_VALUES:-}"
while IFS= read -r line; do [[ -z $line ]] || given+=("--set=$line"); done <<<"${SAGA_SET:-}"
labels=()
while IFS= read -r line; do [[ -z $line ]] || labels+=("--label=$line"); done <<<"${SAGA_LABELS:-}"
if [[ -n ${SAGA_MANIFEST:-} ]]; then given+=(-- "$SAGA_MANIFEST"); fi # last, after all options

# An interpreter that cannot run the command line exits with 1 or 2, the codes of a failed deployment and a bad request.
if ! saga --version 2>&1 >/dev/null | escape_runner_commands; then
  printf 'error: %s cannot run the command line: Python 3.13 with its requirements.txt is needed (SAGA_PYTHON)\n' "$python" >&2
  finish "$CRASHED"
fi
if [[ $mode == plan ]]; then
  code=0
  saga plan ${given[@]+"${given[@]}"} 2>&1 >&3 | escape_runner_commands || code=${PIPESTATUS[0]}
  case $code in 0) report planned 0 ;; 1) report blocked 1 ;; *) report unplanned "$code" ;; esac
fi

if [[ $mode == retire ]]; then
  code=0
  saga retire --wait --timeout="${SAGA_TIMEOUT:-45m}" --requested-by="${SAGA_REQUESTED_BY:-}" "${labels[@]}" 2>&1 >&3 |
    escape_runner_commands || code=${PIPESTATUS[0]}
  if ((code == 0)); then state=retired; else state=standing; fi
  if [[ -n ${SAGA_COMMENT:-} ]]; then
    printf 'The environment with %s is %s.\n' "$(printf '%s' "$SAGA_LABELS" | tr '\n' ' ' | tr -cd 'A-Za-z0-9._/:@+= -')" "$state" >"$SAGA_COMMENT"
  fi
  report "$state" "$code"
fi

id=${SAGA_ID:-}
[[ -n $id || -n ${SAGA_RUN:-} ]] || refuse 'SAGA_ID or SAGA_RUN is needed'
if [[ -z $id ]]; then id=$(chosen_id) || finish "$?"; fi
[[ $id =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$ ]] || refuse "the id may contain only letters, digits, '.', '_' and '-', at most 100"
output deployment-id "$id" # First, so that the deployment can be found whatever happens to this job.

is_cancelled=
# shellcheck disable=SC2329 # called by the trap
interrupt() {
  is_cancelled=yes
  kill -INT %1 2>/dev/null || true
}
trap interrupt INT TERM

"$python" -P -m shared.cli submit --wait --id="$id" --timeout="${SAGA_TIMEOUT:-45m}" \
  --requested-by="${SAGA_REQUESTED_BY:-}" ${labels[@]+"${labels[@]}"} ${given[@]+"${given[@]}"} 2>&1 >&3 | escape_runner_commands &
set +m # The command has its group; the shell must not report the end of the job.
code=0
wait %1 || code=$?

if [[ -n $is_cancelled ]]; then
  # The signal ended the waiting; the command prints that it detaches, and exits. If interrupts are ignored, it is terminated.
  for _ in 1 2 3 4 5 6; do
    kill -0 %1 2>/dev/null || break
    sleep 0.5
  done
  kill -TERM %1 2>/dev/null || true
  wait %1 2>/dev/null || true
  code=130
  if [[ ${SAGA_ON_CANCEL:-detach} == cancel ]]; then
    saga cancel --requested-by="${SAGA_REQUESTED_BY:-}, whose job was cancelled" -- "$id" 2>&1 >&3 | escape_runner_commands || true
  fi
fi
state=$(state_of "$id") || state=unknown
if [[ -n ${SAGA_COMMENT:-} ]]; then
  page=()
  link=${SAGA_PAGE:-${FABRIC_SAGA_URL:-}}
  [[ -z $link ]] || page=("--page=$link")
  saga status --markdown="$SAGA_COMMENT" ${page[@]+"${page[@]}"} -- "$id" 2>&1 >/dev/null | escape_runner_commands || true
  [[ -s $SAGA_COMMENT ]] || printf 'Deployment %s: %s\n' "$id" "$state" >"$SAGA_COMMENT"
fi
report "$state" "$code"
