#!/bin/sh
# User data of an instance, or of a launch template: installs the agent and its
# unit, where the image has none, and starts it. Amazon Linux 2023, Debian,
# Ubuntu; wants curl and systemd, and no AWS CLI.
#
# The agent reads its secret itself: the role of the instance needs
# ssm:GetParameter on the parameter (or secretsmanager:GetSecretValue on the
# secret), and kms:Decrypt for a key of your own. No file and no argument has it.
set -eu
JENKINS_URL=https://jenkins.example.com/
# The node's name in Jenkins: instance-id, tag:KEY (needs instance tags in the
# metadata), or the name itself.
NAME=tag:jenkins-agent
# The node's secret; @NAME@ is the name.
SECRET=aws-ssm:///jenkins/agents/@NAME@
AGENT=https://artifacts.example.com/footman/linux-$(uname -m)/jenkins-agent
AGENT_SHA256= # of that file; empty trusts the server

imds() {
	token=$(curl -sSf --retry 5 --retry-connrefused -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
	curl -sSf --retry 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

case $NAME in
instance-id) NAME=$(imds instance-id) ;;
tag:*) NAME=$(imds "tags/instance/${NAME#tag:}") ;;
esac

id jenkins >/dev/null 2>&1 || useradd --system --home-dir /var/lib/jenkins-agent --shell /bin/bash jenkins

if [ ! -x /usr/local/bin/jenkins-agent ]; then # an AMI of packer.pkr.hcl has it
	new=$(mktemp /usr/local/bin/jenkins-agent.XXXXXX)
	trap 'rm -f "$new"' EXIT
	curl -sSfL --retry 5 -o "$new" "$AGENT"
	if [ -n "$AGENT_SHA256" ]; then
		echo "$AGENT_SHA256  $new" | sha256sum -c - >/dev/null
	fi
	chmod 0755 "$new"
	mv "$new" /usr/local/bin/jenkins-agent
fi

install -d -m 0700 /etc/jenkins-agent
(
	umask 077
	cat >/etc/jenkins-agent/env <<EOF
JENKINS_URL=$JENKINS_URL
JENKINS_AGENT_NAME=$NAME
JENKINS_WEB_SOCKET=true
JENKINS_SECRET=$(echo "$SECRET" | sed "s|@NAME@|$NAME|")
EOF
)

if [ ! -e /etc/systemd/system/jenkins-agent.service ]; then
	cat >/etc/systemd/system/jenkins-agent.service <<'EOF'
# /etc/systemd/system/jenkins-agent.service
[Unit]
Description=Jenkins agent
Documentation=https://github.com/footman-ci/footman/blob/main/docs/ec2.md
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
# Ready is: the first time online. Until then the agent asks for more time.
Type=notify
NotifyAccess=main
# The agent's own locks, not its connection: a lost one comes back by itself.
WatchdogSec=60
TimeoutAbortSec=10
User=jenkins
Group=jenkins
StateDirectory=jenkins-agent
StateDirectoryMode=0750
WorkingDirectory=%S/jenkins-agent
# JENKINS_URL, JENKINS_AGENT_NAME, JENKINS_WEB_SOCKET=true, and where the secret
# is: JENKINS_SECRET=aws-ssm:///jenkins/agents/NAME. Builds get all but the last.
# JENKINS_AGENT_HTTP=*:8099 in there opens /metrics to the network.
Environment=JENKINS_AGENT_HTTP=:8099
EnvironmentFile=/etc/jenkins-agent/env
ExecStart=/usr/local/bin/jenkins-agent -workDir %S/jenkins-agent -drainTimeout 105s
# 0 is an end in peace, also after EC2's notice (to systemd it is a failure when it
# comes before the agent was online): an instance that goes away takes no new
# builds. 3 is a refusal: a wrong secret does not get better.
Restart=on-failure
RestartPreventExitStatus=0 3 64
RestartSec=2
# The agent drains; what it leaves is killed with it.
KillMode=mixed
TimeoutStopSec=120
OOMPolicy=continue

# Builds run in here too: nothing that would surprise a compiler, a debugger or a
# JVM. sudo and rootless containers want NoNewPrivileges=no, RestrictSUIDSGID=no
# and a CapabilityBoundingSet, in a drop-in.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=full
ProtectHome=tmpfs
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
PrivateDevices=yes
RemoveIPC=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @module @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
EOF
fi
systemctl daemon-reload
systemctl enable jenkins-agent.service
# Ready is online: nothing else of the boot has to wait for Jenkins.
systemctl start --no-block jenkins-agent.service
