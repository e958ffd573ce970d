#!/usr/bin/env bash
# awsauth against the real AWS tools: CLI v1, CLI v2, boto3 and the Go SDK, with
# a moto STS on loopback. Installs what it needs (apt: awscli, which is CLI v2;
# pip into a venv: awscli v1, boto3, moto). What cannot be had is said loudly and
# fails the run; AWS_TOOLS_OPTIONAL=1 goes on with the tools that are there.
#
#   test/aws/run.sh [quick] [BINARY]
#
# quick leaves out the second uid, the faults and the other SDKs. BINARY is the
# jenkins-agent to test; without it (or JENKINS_AGENT) cmd/jenkins-agent is built.
set -uo pipefail
quick=
for a; do case $a in quick) quick=1;; *) JENKINS_AGENT=$(realpath "$a") || exit 2; [ -x "$JENKINS_AGENT" ] || { echo "run.sh: $a is not a program" >&2; exit 2; };; esac; done
here=$(cd "$(dirname "$0")" && pwd); repo=$(cd "$here/../.." && pwd)
work=${AWS_RIG_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/footman-aws-rig}; mkdir -p "$work"
tmp=$(mktemp -d /tmp/awsauth-test.XXXXXX); chmod 755 "$tmp"
export RIG_VENV=${RIG_VENV:-$work/venv} RIG_RUN=$tmp/run
# Three free ports in a row, below the range that connections take theirs from.
RIG_PORT=${RIG_PORT:-$(python3 - <<'P'
import random, socket
while True:
    p, socks = random.randrange(10000, 30000), []
    try:
        for i in range(3):
            s = socket.socket(); socks.append(s); s.bind(("127.0.0.1", p + i))
        print(p); break
    except OSError: pass
    finally: [s.close() for s in socks]
P
)}
export RIG_PORT; export RIG_PROXY_PORT=${RIG_PROXY_PORT:-$((RIG_PORT + 1))}
passed=0 failed=0 missing=0
say() { printf '\n== %s\n' "$*"; }
pass() { passed=$((passed + 1)); echo "PASS $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; }
loud() { printf '\n!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n!!! %s\n!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n\n' "$*" >&2; missing=$((missing + 1)); }
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
  RIG_RUN=$RIG_RUN "$tmp/rig/down.sh" >/dev/null 2>&1
  rm -rf "$tmp"
}
trap cleanup EXIT

say "installing"
# The rig builds its Go probe beside itself: work on a copy.
cp -r "$repo/test/testdata/aws-rig" "$tmp/rig"; chmod -R u+w "$tmp/rig"
if [ ! -x "$RIG_VENV/bin/moto_server" ] || [ ! -x "$RIG_VENV/bin/aws" ]; then
  python3 -m venv "$RIG_VENV" && "$RIG_VENV/bin/pip" -q install 'moto[server]' boto3 awscli || rm -f "$RIG_VENV/bin/moto_server"
fi
tools="cliv1 boto3"
if [ ! -x "$RIG_VENV/bin/moto_server" ]; then
  loud "moto, boto3 and AWS CLI v1 cannot be installed with pip: NOTHING of awsauth is tested against real tools"
  [ -n "${AWS_TOOLS_OPTIONAL:-}" ] && { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
  exit 1
fi
if [ ! -x /usr/bin/aws ] && [ "$(id -u)" = 0 ]; then { apt-get update -qq && apt-get install -y -qq awscli; } >"$tmp/apt.log" 2>&1; fi
if [[ $(/usr/bin/aws --version 2>/dev/null) == aws-cli/2* ]]; then tools="cliv1 cliv2 boto3"; else loud "AWS CLI v2 is not at /usr/bin/aws and apt cannot install it: it is NOT tested"; fi
if (cd "$tmp/rig/goprobe" && CGO_ENABLED=0 go build -o goprobe .); then tools="$tools gosdk"; chmod -R a+rX "$tmp/rig"; else loud "the Go SDK probe does not build: the Go SDK is NOT tested"; fi
# up.sh would install CLI v2 by itself and stop where it cannot.
grep -v '/usr/bin/aws \]' "$tmp/rig/up.sh" >"$tmp/rig/up2.sh"; chmod +x "$tmp/rig/up2.sh"
"$tmp/rig/up2.sh" || { echo "FAIL moto does not start"; cat "$RIG_RUN/moto.out"; exit 1; }
. "$RIG_RUN/env"; export AWS_ENDPOINT_URL_STS=$AWS_ENDPOINT_URL
"$RIG_VENV/bin/aws" --version; case $tools in *cliv2*) /usr/bin/aws --version;; esac
"$RIG_VENV/bin/python" -c 'import boto3, moto; print("boto3", boto3.__version__, "moto", moto.__version__)'

agent=$tmp/jenkins-agent # a copy that other uids can run
[ -z "${JENKINS_AGENT:-}" ] || cp "$JENKINS_AGENT" "$agent"
[ -n "${JENKINS_AGENT:-}" ] || (cd "$repo" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$agent" ./cmd/jenkins-agent) || { echo "FAIL build"; exit 1; }
chmod 755 "$agent"
case $("$agent" awsauth --help 2>&1) in *--once*) ;; *) false;; esac || { echo "FAIL $agent has no subcommand awsauth"; exit 1; }
# A copy: up.sh writes its own anew each time it starts moto.
cp "$RIG_RUN/config" "$tmp/config"; chmod a+r "$tmp/config"
cat >>"$tmp/config" <<V

[profile deep]
role_arn = arn:aws:iam::333333333333:role/sandbox-role
source_profile = nonprod
external_id = é<&>/x
V
export CHECK_EXPECT="deep=arn:aws:sts::333333333333:assumed-role/sandbox-role/"
profiles=prod,nonprod,deep
. "$tmp/rig/lib.sh"

check() { # LABEL ARGS… of check.sh
  local label=$1 out="$tmp/check.$RANDOM"; shift
  "$tmp/rig/check.sh" "$@" --config "$tmp/config" --profiles $profiles --tools "$tools" >"$out" 2>&1 && pass "check.sh $label: $(tail -1 "$out")" || { fail "check.sh $label"; grep -E '^(FAIL|TOTAL)' "$out"; }
  grep -E '^(FAIL|PASS (cache|all-sdk))' "$out" | sed 's/^/     /'
}

say "once, as root"
mark; "$agent" awsauth --once --config "$tmp/config" --aws-dir "$tmp/root" 2>"$tmp/log" && pass "awsauth --once" || { fail "awsauth --once"; cat "$tmp/log"; }
[ "$(assumes)" = 3 ] && pass "three links, three calls" || fail "calls: $(seen)"
check "root" "$tmp/root"

if [ -z "$quick" ] && [ "$(id -u)" = 0 ]; then
  say "files of root, read by uid 1000"
  check "--uid 1000" "$tmp/root" --uid 1000

  say "agent of uid 1000 with fsGroup 2000, build container of uid 1001"
  mkdir "$tmp/fsgroup"; chown 0:2000 "$tmp/fsgroup"; chmod 2777 "$tmp/fsgroup"; chmod a+r "$RIG_RUN/token" "$tmp/config"
  chmod a+rx "$agent" "$tmp" "$RIG_RUN"
  setpriv --reuid 1000 --regid 1000 --groups 2000 env HOME=/nonexistent "$agent" awsauth --once --config "$tmp/config" --aws-dir "$tmp/fsgroup" 2>"$tmp/log" || { fail "awsauth as uid 1000"; cat "$tmp/log"; }
  world=$(find "$tmp/fsgroup" -type f -perm /007 | wc -l)
  [ "$world" = 0 ] && pass "no file is open to the world" || fail "$world files are open to the world"
  mkdir "$tmp/h"; ln -s "$tmp/fsgroup" "$tmp/h/.aws"; cp "$tmp/config" "$tmp/h/config"; chmod a+r "$tmp/h/config"
  for t in cliv1 cliv2; do
    case $tools in *$t*) ;; *) continue;; esac
    mark; got=$(AWS_CONFIG_FILE=$tmp/h/config setpriv --reuid 1001 --regid 1001 --groups 2000 bash -c '. "$0/lib.sh"; '"$t"' nonprod "$1"' "$tmp/rig" "$tmp/h" 2>&1 | tail -1)
    if grep -q assumed-role/jenkins-deploy-role <<<"$got" && [ "$(assumes)" = 0 ]; then pass "uid 1001 by the group, $t: 0 AssumeRole"; else fail "uid 1001, $t: $got [$(seen)]"; fi
  done
  got=$(setpriv --reuid 1002 --regid 1002 --clear-groups cat "$tmp/fsgroup/agent/prod.json" 2>&1) && fail "uid 1002 outside the group reads the keys" || pass "uid 1002 outside the group reads nothing"
  mkdir "$tmp/ro"; chmod 755 "$tmp/ro"
  setpriv --reuid 1000 --regid 1000 --clear-groups "$agent" awsauth --once --config "$tmp/config" --aws-dir "$tmp/ro" 2>"$tmp/log" && fail "a directory of root was written" || { grep -q "set fsGroup" "$tmp/log" && pass "a directory that cannot be written is explained" || { fail "no explanation"; cat "$tmp/log"; }; }
fi

if [ -z "$quick" ]; then
  say "sidecar: faults, rotation, exec, doctor"
  fault() { printf '%s' "$1" >"$RIG_RUN/fault.json"; }
  fault '{"action":"AssumeRole","status":400,"code":"Throttling","count":5}'
  "$agent" awsauth --config "$tmp/config" --aws-dir "$tmp/side" --http "127.0.0.1:$((RIG_PORT + 2))" 2>"$tmp/side.log" & pids+=($!)
  wait_for() { for _ in $(seq "$1"); do eval "$2" && return 0; sleep .25; done; return 1; }
  wait_for 160 '[ -f "$tmp/side/agent/deep.json" ]' && pass "throttled five times: every profile is there" || { fail "throttled five times"; cat "$tmp/side.log"; }
  rm -f "$RIG_RUN/fault.json"
  curl -sf "http://127.0.0.1:$((RIG_PORT + 2))/metrics" >"$tmp/metrics"; grep -q 'calls_total{kind="assume_role",code="Throttling"} 5' "$tmp/metrics" && pass "metrics count the throttling" || { fail "metrics"; cat "$tmp/metrics"; }
  curl -sf "http://127.0.0.1:$((RIG_PORT + 2))/healthz" >/dev/null && pass "healthz" || fail "healthz"

  sed -i 's/$/XX/' "$RIG_RUN/token"   # another text: CLI v1 looks under another key
  mkdir "$tmp/home"; ln -s "$tmp/side" "$tmp/home/.aws"
  wait_for 80 'grep -q "token rotated" "$tmp/side.log"'; sleep .3
  mark; got=$(AWS_CONFIG_FILE=$tmp/config cliv1 prod "$tmp/home" 2>&1 | tail -1)
  if grep -q jenkins-ci-role <<<"$got" && [ "$(assumes)" = 0 ]; then pass "token rotated: CLI v1 makes 0 AssumeRole calls"; else fail "after rotation: $got [$(seen)]"; fi

  for shape in 'AWS_PROFILE=- gosdk' ; do
    mark; got=$(HOME=$tmp/home "$agent" awsauth exec --aws-dir "$tmp/side" nonprod -- "$tmp/rig/goprobe/goprobe" - 2>&1 | tail -1)
    if grep -q jenkins-deploy-role <<<"$got" && [ "$(assumes)" = 0 ]; then pass "awsauth exec nonprod: the Go SDK is nonprod although IRSA was set"; else fail "exec: $got [$(seen)]"; fi
  done
  got=$(eval "$("$agent" awsauth env --aws-dir "$tmp/side" deep)"; HOME=$tmp/home boto3 - "$tmp/home" 2>&1 | tail -1)
  grep -q sandbox-role <<<"$got" && pass "awsauth env deep: boto3 is deep" || fail "env: $got"
  AWS_PROFILE=nonprod AWS_CONFIG_FILE=$tmp/config HOME=$tmp/home "$agent" awsauth doctor >"$tmp/doctor" 2>&1 && fail "doctor is content with the trap" || { grep -q 'fail wrong-role' "$tmp/doctor" && pass "doctor sees the AWS_PROFILE trap" || { fail "doctor"; cat "$tmp/doctor"; }; }
  mark; got=$(AWS_PROFILE=nonprod AWS_CONFIG_FILE=$tmp/config gosdk - "$tmp/home" | tail -1)
  grep -q jenkins-ci-role <<<"$got" && pass "and it is right: the Go SDK acts as prod there" || echo "INFO the Go SDK no longer ignores AWS_PROFILE: $got"
  secrets=$("$RIG_VENV/bin/python" -c 'import json,re,sys; d=json.load(open(sys.argv[1])); print(re.escape(d["SecretAccessKey"][:30])+"|"+re.escape(d["SessionToken"][-30:]))' "$tmp/side/agent/prod.json")
  grep -qE "$secrets" "$tmp/side/agent/prod.json" || fail "the pattern of secrets finds nothing where they are"
  if grep -lE "$secrets" "$tmp"/*.log "$tmp/metrics" "$tmp/doctor" "$tmp/side/agent/status.json" "$tmp/side/agent/config" /proc/"${pids[0]}"/cmdline /proc/"${pids[0]}"/environ 2>/dev/null; then fail "a secret is in one of these"; else pass "no secret in logs, metrics, doctor, status, argv, environment"; fi
  kill -TERM "${pids[0]}"; wait "${pids[0]}" && pass "the sidecar ends with 0 on SIGTERM" || fail "exit code $?"

  say "a refused profile, slow and failing STS, STS away"
  fault '{"action":"AssumeRole","status":403,"code":"AccessDenied"}'
  "$agent" awsauth --once --config "$tmp/config" --aws-dir "$tmp/denied" >"$tmp/out" 2>"$tmp/log" && fail "exit 0 although nonprod is refused" || pass "exit code tells of the refusal"
  [ -f "$tmp/denied/agent/prod.json" ] && grep -q 'profile nonprod: assume role arn:aws:iam::222222222222:role/jenkins-deploy-role' "$tmp/log" && pass "prod is served; the error names profile and role" || { fail "refusal"; cat "$tmp/log"; }
  "$agent" awsauth --once --aws-profiles prod --config "$tmp/config" --aws-dir "$tmp/denied" >/dev/null 2>&1 && pass "and 0 when only prod is named" || fail "only prod"
  fault '{"action":"AssumeRole","delay":10,"count":1}'
  "$agent" awsauth --once --aws-timeout 40s --config "$tmp/config" --aws-dir "$tmp/slow" >/dev/null 2>"$tmp/log" && pass "an answer after 10 s is waited for" || { fail "slow"; cat "$tmp/log"; }
  fault '{"action":"AssumeRoleWithWebIdentity","status":500,"code":"InternalFailure","count":3}'
  "$agent" awsauth --once --aws-timeout 40s --config "$tmp/config" --aws-dir "$tmp/e500" >/dev/null 2>"$tmp/log" && pass "three times 500 are survived" || { fail "500"; cat "$tmp/log"; }
  rm -f "$RIG_RUN/fault.json"
  "$tmp/rig/down.sh" >/dev/null; sleep .5
  "$agent" awsauth --config "$tmp/config" --aws-dir "$tmp/away" 2>"$tmp/away.log" & pids+=($!)
  wait_for 40 'grep -q "STS not reached" "$tmp/away.log"' && pass "STS away: said, and the sidecar goes on" || { fail "away"; cat "$tmp/away.log"; }
  "$tmp/rig/up2.sh" >/dev/null
  wait_for 280 '[ -f "$tmp/away/agent/deep.json" ]' && pass "STS back: every profile is there" || { fail "back"; cat "$tmp/away.log"; }
  kill "${pids[1]}"
fi

if [ -z "$quick" ]; then
  say "JavaScript SDK, Java SDK, Terraform (each where its runtime is)"
  x=$work/extras; mkdir -p "$x"; cp -r "$repo/test/aws/extras/." "$x/" # lib.sh has a "here" of its own
  sure() { curl -sf "$AWS_ENDPOINT_URL/moto-api/data.json" >/dev/null || "$tmp/rig/up2.sh" >/dev/null; }
  sure; mkdir -p "$tmp/home2"; ln -sfn "$tmp/root" "$tmp/home2/.aws"
  "$agent" awsauth --once --config "$tmp/config" --aws-dir "$tmp/root" >/dev/null 2>&1
  other=""
  if command -v npm >/dev/null && (cd "$x/js" && { [ -d node_modules ] || npm install --silent --no-audit --no-fund >/dev/null 2>&1; }); then other="$other js"; else echo "INFO no npm, or it cannot install: the JavaScript SDK is left out"; fi
  if command -v mvn >/dev/null && (cd "$x/java" && { [ -f cp.txt ] || mvn -q -B dependency:build-classpath -Dmdep.outputFile=cp.txt >/dev/null 2>&1; }); then other="$other java"; else echo "INFO no mvn, or it cannot install: the Java SDK is left out"; fi
  if command -v terraform >/dev/null; then other="$other tf"; else echo "INFO no terraform: left out"; fi
  js() { node --no-warnings "$x/js/probe.mjs" 2>&1; }
  java_() { java -Duser.home="$HOME" -cp "$(cat "$x/java/cp.txt")" "$x/java/Probe.java" 2>/dev/null; }
  # Terraform's own S3 backend, with the state in a bucket of moto; the caller is read from moto's log.
  tf() {
    rm -rf "$tmp/tf"; mkdir "$tmp/tf"
    cat >"$tmp/tf/main.tf" <<V
terraform {
  backend "s3" {
    bucket         = "awsauth-tfstate"
    key            = "x"
    region         = "us-east-1"
    use_path_style = true
    endpoints      = { s3 = "$AWS_ENDPOINT_URL", sts = "$AWS_ENDPOINT_URL", iam = "$AWS_ENDPOINT_URL" }
  }
}
V
    (cd "$tmp/tf" && CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null terraform init -no-color -input=false >"$tmp/tf.log" 2>&1)
    local id; id=$(tail -c +$((MARK + 1)) "$LOGF" | grep '"s3"' | tail -1 | grep -o '"akid": "[A-Z0-9]*' | cut -d'"' -f4)
    [ -n "$id" ] && [ "$id" = "$(sed 's/.*"AccessKeyId":"\([A-Z0-9]*\)".*/\1/' "$tmp/root/agent/$1.json")" ] && echo "arn: the key of $1 is assumed-role/${2}/" || echo "key ${id:-none}: $(tail -2 "$tmp/tf.log" | tr '\n' ' ')"
  }
  cured() { env HOME="$tmp/home2" AWS_CONFIG_FILE="$tmp/root/agent/config" AWS_ROLE_ARN= AWS_WEB_IDENTITY_TOKEN_FILE= AWS_PROFILE="$1" "${@:2}"; }
  cured nonprod "$RIG_VENV/bin/aws" s3 mb s3://awsauth-tfstate >/dev/null 2>&1
  for t in $other; do
    for pr in nonprod:jenkins-deploy-role deep:sandbox-role; do
      p=${pr%%:*} role=${pr#*:}
      mark
      got=$(export HOME=$tmp/home2 AWS_CONFIG_FILE=$tmp/root/agent/config AWS_ROLE_ARN= AWS_WEB_IDENTITY_TOKEN_FILE= AWS_PROFILE=$p; case $t in js) js;; java) java_;; tf) tf "$p" "$role";; esac)
      if grep -q "assumed-role/$role/" <<<"$got" && [ "$(assumes)" = 0 ]; then pass "$t AWS_PROFILE=$p: 0 AssumeRole"; else fail "$t AWS_PROFILE=$p: $got [$(seen)]"; fi
    done
  done
fi

say "the agent's own secret, in Parameter Store and Secrets Manager"
cli() { HOME=$tmp/nohome "$RIG_VENV/bin/aws" --region us-east-1 "$@"; } # as the pod's role, as the agent will
cli ssm put-parameter --name /jenkins/a1 --type SecureString --value 0a1b2c >/dev/null
cli secretsmanager create-secret --name jenkins/agents --secret-string '{"a1":"0a1b2c"}' >/dev/null
for ref in aws-ssm:///jenkins/a1 aws-secretsmanager:jenkins/agents#a1 aws-ssm:///jenkins/other; do
  AWS_REGION=us-east-1 timeout 60 "$agent" -url http://127.0.0.1:1/ -webSocket -name a1 -noReconnect -secret $ref >"$tmp/secret.log" 2>&1
  case $ref in *other) want="ParameterNotFound: there is none of that name in us-east-1";; *) want="Secret read from aws-";; esac
  if grep -q "$want" "$tmp/secret.log" && ! grep -q 0a1b2c "$tmp/secret.log"; then pass "-secret $ref: $want"; else fail "-secret $ref"; cat "$tmp/secret.log"; fi
done

say "parser and keys against botocore"
(cd "$repo" && AWSAUTH_PYTHON="$RIG_VENV/bin/python" go test -count=1 -v -run 'TestAgainstBotocore' ./awsauth) >"$tmp/botocore" 2>&1 && grep -q '^--- PASS' "$tmp/botocore" && pass "$(grep -o '[0-9]* configs.*' "$tmp/botocore" | head -1)" || { fail "botocore differs"; tail -40 "$tmp/botocore"; }

say "sum"
echo "$passed passed, $failed failed, $missing skipped"
[ "$failed" = 0 ] && { [ "$missing" = 0 ] || [ -n "${AWS_TOOLS_OPTIONAL:-}" ]; }
